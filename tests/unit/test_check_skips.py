"""The look at what a test run skipped."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_skips.py"


def verdict(report: Path, cases: str) -> subprocess.CompletedProcess[str]:
    """Judge a report that has these cases."""
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", encoding="utf-8")
    return subprocess.run([sys.executable, str(SCRIPT), str(report)], capture_output=True, text=True, check=False)


def case(reason: str) -> str:
    """Give a skipped case as pytest reports it."""
    return f'<testcase classname="tests.a" name="test_b"><skipped type="pytest.skip" message="{reason}"/></testcase>'


def test_a_run_without_skips_passes(tmp_path: Path) -> None:
    """A run in which everything ran is accepted, without a word."""
    done = verdict(tmp_path / "r.xml", '<testcase classname="tests.a" name="test_b"/>')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_machine_lacks_may_be_skipped(tmp_path: Path) -> None:
    """A skip that says what is missing on the machine is accepted."""
    assert verdict(tmp_path / "r.xml", case("not available here: a second core")).returncode == 0


@pytest.mark.parametrize("reason", ["", "too slow", "could not import 'wordllama'"])
def test_any_other_skip_fails(tmp_path: Path, reason: str) -> None:
    """A skip for any other reason fails the run, and the test is named."""
    done = verdict(tmp_path / "r.xml", '<testcase classname="tests.a" name="test_a"/>' + case(reason))
    assert done.returncode == 1
    assert "tests.a::test_b" in done.stderr


def test_a_run_of_nothing_fails(tmp_path: Path) -> None:
    """A run that collected no test is not a green one."""
    assert verdict(tmp_path / "r.xml", "").returncode == 1
