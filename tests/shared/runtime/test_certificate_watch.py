"""When certificates end, and who is told."""

import asyncio
import contextlib
import logging
import shutil

import pytest

from shared.httpcore.net.tls import CertificateError, read_expiry
from shared.runtime.certificate_watch import DAY_S, CertificateWatch, describe_expiry
from shared.runtime.metrics import MetricsRegistry
from tests.certificates import LocalCa

GAUGE = "weaprous_tls_certificate_expiry_seconds"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return LocalCa(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (365 * DAY_S, None),
        (30 * DAY_S + 1, None),
        (30 * DAY_S, "expires in 30 days"),
        (30 * DAY_S - 1, "expires in 29 days"),
        (2 * DAY_S, "expires in 2 days"),
        (2 * DAY_S - 1, "expires within two days"),
        (1, "expires within two days"),
        (0, "has expired"),
        (-DAY_S, "has expired"),
    ],
)
def test_the_warning_begins_thirty_days_before_the_end(left_s, words):
    said = describe_expiry(1_700_000_000 + left_s, 1_700_000_000)
    assert said is None if words is None else words in said


def test_a_certificate_that_ends_soon_is_told_at_start_at_reload_and_each_day(ca, tmp_path, caplog):
    soon, late, file = ca.issue("soon.test", days=10), ca.issue("late.test", days=400), tmp_path / "served.pem"
    shutil.copy(soon, file)
    metrics = MetricsRegistry()
    watch = CertificateWatch(metrics, [file, late])
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert (caplog.records[0].file, "expires in 9 days" in caplog.text) == (str(file), True)
    assert f'{GAUGE}{{file="{file}"}} {read_expiry(soon)}' in metrics.render()
    assert f'{GAUGE}{{file="{late}"}} {read_expiry(late)}' in metrics.render()

    async def run_until_told(count):
        running = asyncio.create_task(watch.run(every_s=0.001))
        while len(caplog.records) < count:
            await asyncio.sleep(0)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(run_until_told(3))
    shutil.copy(late, file)
    watch.read_again()
    caplog.clear()
    watch.warn()
    assert not caplog.records, "renewed"
    assert f'{GAUGE}{{file="{file}"}} {read_expiry(late)}' in metrics.render()


def test_an_expired_certificate_is_told(ca, caplog):
    ended = ca.issue("ended.test", days=400)
    CertificateWatch(MetricsRegistry(), [ended], clock=lambda: read_expiry(ended) + 1.0)
    assert "has expired" in caplog.text


def test_a_file_that_breaks_changes_nothing(ca, tmp_path, caplog):
    file = tmp_path / "served.pem"
    shutil.copy(ca.issue("soon.test", days=10), file)
    metrics = MetricsRegistry()
    watch = CertificateWatch(metrics, [file])
    before = metrics.render()
    file.write_text("broken")
    with pytest.raises(CertificateError):
        watch.read_again()
    assert metrics.render() == before
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        watch.warn()
    assert "expires in 9 days" in caplog.text
