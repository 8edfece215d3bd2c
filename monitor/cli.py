"""Arguments to one call each. Exit codes: 0 done, 1 failed, 2 bad usage or configuration."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console

from monitor import __version__
from monitor.errors import ConfigError, InputError, MonitorError

DONE, FAILED, BAD_USAGE = 0, 1, 2

app = App(
    name="meter-monitor",
    help="Watches the electricity and air conditioning of public buildings: readings come in over MQTT, violations of "
    "peak limits and set-points go out to InfluxDB, SQLite and Prometheus.",
    version=__version__,
    help_format="plaintext",
)
_service = Group("The service", sort_key=0)
_files = Group("Files and configuration", sort_key=1)
_tryout = Group("Trying it out", sort_key=2)

Config = Annotated[
    Path, Parameter(name="--config", help="Folder with buildings.csv, devices.csv, policies/ and monitor.yaml.")
]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@app.command(group=_service)
def run(*, config: Config) -> int:
    """Run the monitor until it is told to stop.

    SIGTERM or Ctrl-C stops it in order: what has come in is stored first. SIGHUP reloads buildings, devices and
    policies; if they have an error, those in force stay.
    """
    from monitor.service import run_service  # each command loads only what it needs

    return run_service(config, dict(os.environ))


@app.command(group=_files)
def check(*, config: Config) -> int:
    """Check a configuration: every error and warning at once, with file and line."""
    from monitor.config import check as check_config  # each command loads only what it needs

    problems = check_config(config, dict(os.environ), _now_ms())
    for problem in problems:
        print(problem, file=sys.stderr if not problem.warning else sys.stdout)  # its result
    errors = sum(not problem.warning for problem in problems)
    print(f"{errors} errors, {len(problems) - errors} warnings")  # noqa: T201  # its result
    return BAD_USAGE if errors else DONE


@app.command(group=_files)
def backup(
    *,
    config: Config,
    out: Annotated[Path, Parameter(name="--out", help="New folder for the copy; appears only when it is whole.")],
) -> int:
    """Copy the state directory of a monitor, which may be running, so that another can go on from the copy.

    Restore: stop the monitor, put the folder in the place of its state directory, start it.
    """
    from monitor.backup import backup_command  # each command loads only what it needs

    print(backup_command(config, out, dict(os.environ)))  # noqa: T201  # its result
    return DONE


@app.command(group=_files)
def devices(
    *,
    config: Config,
    unmapped: Annotated[
        bool, Parameter(name="--unmapped", negative="", help="The ids in payloads that no device has.")
    ] = False,
    building: Annotated[
        str | None, Parameter(name="--building", help="Building for the rows that are offered with --unmapped.")
    ] = None,
) -> int:
    """List the devices, or the ids of gateways that wait for a row in devices.csv.

    With --unmapped each id comes with the last topic and values it was seen with, and a row ready to be pasted into
    devices.csv. The monitor may run meanwhile; a reload (SIGHUP) takes new rows over.
    """
    from monitor.devices_command import devices_command  # each command loads only what it needs

    devices_command(config, unmapped=unmapped, building=building, env=dict(os.environ), now_ms=_now_ms())
    return DONE


@app.command(group=_files)
def gateways(
    *,
    config: Config,
    out: Annotated[Path, Parameter(name="--out", help="Folder for acl, passwd and passwords.csv.")],
    broker: Annotated[
        str | None, Parameter(name="--broker", help="Name of the broker, where monitor.yaml has several.")
    ] = None,
) -> int:
    """Write the broker's accounts: who may publish where, for Mosquitto.

    One user for each gateway in devices.csv, for each source and for the monitor. passwords.csv is for handing out;
    users that are in it already keep their password. Mosquitto reads the files again on SIGHUP.
    """
    from monitor.gateways_command import gateways_command  # each command loads only what it needs

    gateways_command(config, out, broker_name=broker, env=dict(os.environ), now_ms=_now_ms())
    return DONE


@app.command(group=_files)
def decode(
    *files: Annotated[Path, Parameter(help="One payload each, in the order in which they were sent.")],
    topic: Annotated[
        list[str],
        Parameter(name="--topic", help="The MQTT topic; once for all files, or once for each.", negative=""),
    ],
    format: Annotated[  # noqa: A002  # the option's name
        str | None, Parameter(name="--format", help="One of those that docs/gateways.md tells of.")
    ] = None,
    source: Annotated[str | None, Parameter(name="--source", help="Read as this source of the configuration.")] = None,
    config: Annotated[Path | None, Parameter(name="--config", help="Folder with monitor.yaml, for --source.")] = None,
    retain: Annotated[
        str | None, Parameter(name="--retain", help="Which files are retained messages: all, or numbers as 1,4.")
    ] = None,
    received_at: Annotated[
        str | None, Parameter(name="--received-at", help="Arrival of all messages (ISO 8601 or epoch); else now.")
    ] = None,
    timezone: Annotated[
        str | None, Parameter(name="--timezone", help="IANA zone of local times that do not say theirs.")
    ] = None,
) -> int:
    """Show what a gateway's payloads yield, before it is connected.

    Prints one JSON object a line: readings with source_id, quantity, value (kWh, kW with import positive, °C, m3, mode
    0 to 5, on 0 or 1) and ts, then what was rejected or ignored, and why. Several files are one sequence.
    """
    from monitor.decode_command import DecodeOptions, decode_command  # each command loads only what it needs

    options = DecodeOptions(files, topic, format, source, config, retain, received_at, timezone)
    decode_command(options, dict(os.environ), _now_ms())
    return DONE


@app.command(group=_files)
def replay(
    *,
    config: Config,
    input: Annotated[  # noqa: A002  # the option's name
        Path, Parameter(name="--input", help="Readings in order of arrival: CSV, CSV.gz or Parquet.")
    ],
    out: Annotated[Path, Parameter(name="--out", help="Folder for the results; made if it is not there.")],
    batch: Annotated[int, Parameter(name="--batch", help="Readings per step; does not change the results.")] = 200_000,
    no_horizon: Annotated[
        bool, Parameter(name="--no-horizon", negative="", help="Let readings of any age change results.")
    ] = False,
) -> int:
    """Compute the results of a file of readings with the core of the service.

    Writes intervals.csv, events.csv, ledger.csv and rejected.csv.
    """
    from monitor.replay_command import replay_command  # each command loads only what it needs

    if batch < 1:
        print(f"--batch: found {batch}, expected 1 or more", file=sys.stderr)  # noqa: T201  # a usage error
        return BAD_USAGE
    replay_command(config, input, out, batch=batch, horizon=not no_horizon, env=dict(os.environ), now_ms=_now_ms())
    return DONE


@app.command(group=_files)
def resend(
    *,
    config: Config,
    first: Annotated[
        str | None, Parameter(name="--from", help="First local date of each building, as 2026-06-28; else all.")
    ] = None,
    until: Annotated[str | None, Parameter(name="--until", help="The first local date that is not sent.")] = None,
    building: Annotated[
        list[str] | None, Parameter(name="--building", help="Only this one; may be given again.", negative="")
    ] = None,
) -> int:
    """Send results that are in SQLite to InfluxDB once more: after it was lost, or for measurements that are new.

    Puts consumption with its hours and days, violations and the ledger into the outbox, from where the service sends
    them; the service may run meanwhile, and has to where there is much. What is there already is written over.
    """
    from monitor.resend_command import resend_command  # each command loads only what it needs

    resend_command(config, first=first, until=until, buildings=building or (), env=dict(os.environ), now_ms=_now_ms)
    return DONE


@app.command(group=_tryout)
def demo(
    *,
    duration: Annotated[float, Parameter(name="--duration", help="How long the gateways send, in seconds.")] = 90.0,
    speed: Annotated[
        float | None,
        Parameter(name="--speed", help="Simulated seconds per second. Without it: so fast that a whole day passes."),
    ] = None,
    buildings: Annotated[int, Parameter(name="--buildings", help="How many buildings to make up.")] = 12,
    seed: Annotated[int, Parameter(name="--seed", help="Another number, other buildings and other days.")] = 1,
    keep: Annotated[
        Path | None,
        Parameter(name="--keep", help="New folder for configuration, state, truth and results; else they go."),
    ] = None,
) -> int:
    """See it work: simulated gateways, a broker and the monitor, all on this machine.

    Needs no server, no root and no network. Shows what the monitor finds while it runs; at the end holds that against
    what the simulator knows to be true. Exit code 0: all equal, 1: not, 130: broken off by Ctrl-C.
    """
    from monitor.demo.command import demo_command  # each command loads only what it needs

    console = Console(highlight=False)
    return demo_command(duration_s=duration, speed=speed, buildings=buildings, seed=seed, keep=keep, console=console)


@app.command(group=_tryout)
def simulate(
    *,
    broker: Annotated[str, Parameter(name="--broker", help="mqtt://host[:port] or mqtts://host[:port].")],
    config: Annotated[
        Path | None,
        Parameter(name="--config", help="Configuration whose devices are simulated; else buildings are made up."),
    ] = None,
    buildings: Annotated[
        int | None, Parameter(name="--buildings", help="How many to make up, 12 if not given; not with --config.")
    ] = None,
    seed: Annotated[int, Parameter(name="--seed", help="Another number, other days.")] = 1,
    duration: Annotated[float, Parameter(name="--duration", help="How long to send, in seconds of real time.")] = 600.0,
    speed: Annotated[float, Parameter(name="--speed", help="Simulated seconds per second.")] = 60.0,
    faults: Annotated[
        str,
        Parameter(
            name="--faults",
            help='Rates, as "duplicates=0.02,outages=1"; `some` for a bit of each. There are duplicates, reordering, '
            "outages (with backfill), malformed, resets, rollovers, spikes and skew.",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        Parameter(
            name="--out",
            help="Folder for the truth: events.csv, intervals.csv, ledger.csv, readings.csv (an input for replay), and "
            "config/ where buildings are made up.",
        ),
    ] = None,
    version: Annotated[Literal["5", "3.1.1"], Parameter(name="--version", help="Of MQTT.")] = "5",
    username: Annotated[str | None, Parameter(name="--username")] = None,
    password_env: Annotated[
        str | None, Parameter(name="--password-env", help="Environment variable that holds the password.")
    ] = None,
    ca_file: Annotated[
        Path | None, Parameter(name="--ca-file", help="Certificates to trust with mqtts:// instead of the system's.")
    ] = None,
    patience: Annotated[
        float, Parameter(name="--patience", help="Seconds to try without a connection before giving up.")
    ] = 30.0,
) -> int:
    """Send what the gateways of simulated buildings would send to a broker.

    The readings end at the present moment, so with a speed above 1 they begin in the past.
    """
    from monitor.simulate_command import SimulateOptions, simulate_command  # each command loads only what it needs

    options = SimulateOptions(
        broker=broker,
        config=config,
        buildings=buildings,
        seed=seed,
        duration_s=duration,
        speed=speed,
        faults=faults,
        out=out,
        version=version,
        username=username,
        password_env=password_env,
        ca_file=ca_file,
        patience_s=patience,
    )
    return simulate_command(options, dict(os.environ), Console(stderr=True, highlight=False, soft_wrap=True), _now_ms())


@app.command(group=_tryout)
def bench(
    *stages: Annotated[str, Parameter(help="Only these stages; all if none is named.")],
    json: Annotated[bool, Parameter(name="--json", negative="", help="Print JSON instead of a table.")] = False,
    quick: Annotated[bool, Parameter(name="--quick", negative="", help="Small loads: whether it runs at all.")] = False,
) -> int:
    """Measure how fast each stage is on this machine, and the whole way through a real broker (Mosquitto)."""
    from monitor.bench import run_bench  # each command loads only what it needs

    return run_bench(as_json=json, quick=quick, only=stages)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every error is one clear text on standard error."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        result = app(
            sys.argv[1:] if arguments is None else list(arguments),
            exit_on_error=False,
            print_error=True,
            error_console=errors,
            result_action="return_value",
        )
    except CycloptsError:
        return BAD_USAGE
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)  # noqa: T201  # the error itself
        return BAD_USAGE
    except InputError as error:
        print(f"meter-monitor: {error}", file=sys.stderr)  # noqa: T201  # the error itself
        return BAD_USAGE
    except MonitorError as error:
        print(f"meter-monitor: {error}", file=sys.stderr)  # noqa: T201  # the error itself
        return FAILED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return FAILED
    return result if isinstance(result, int) else DONE
