"""Missing prerequisites: one clear line each, all of them together, and what to do."""

import resource
import socket
from pathlib import Path

import pytest

from shared.stack import debian, paths, prerequisites
from shared.stack.errors import CommandFailed, PrerequisitesMissing
from shared.stack.prerequisites import Missing, Needs
from shared.stack.progress import Progress

GLIBC = ("glibc", "2.36")


def lines(*missing: Missing) -> list[str]:
    return [item.line() for item in missing]


def test_a_machine_that_has_everything_is_told_nothing(tmp_path: Path) -> None:
    assert lines(*prerequisites.check(Needs(data=tmp_path, mongod=False))) == []


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        needs = Needs(data=tmp_path, mongod=False, port=port)
        assert lines(*prerequisites.check(needs)) == [
            f"✗ port {port} is taken: choose another with --port, or leave it out to get a free one"
        ]


def test_a_missing_libcurl_names_the_package_and_the_alternative() -> None:
    (line,) = lines(*prerequisites._mongod("Linux", GLIBC, lambda library: library != "libcurl.so.4"))
    assert line == (
        "✗ the embedded mongod needs libcurl.so.4: "
        "apt-get install libcurl4, or set MONGODB_URI to a MongoDB of yours (a replica set)"
    )


def test_libraries_of_one_package_make_one_line() -> None:
    missing = list(
        prerequisites._mongod("Linux", GLIBC, lambda library: library not in {"libssl.so.3", "libcrypto.so.3"})
    )
    assert [item.package for item in missing] == ["libssl3"]


@pytest.mark.parametrize("libc", [("glibc", "2.31"), ("", "")])
def test_an_old_or_other_c_library_is_a_reason_for_a_mongodb_of_ones_own(libc: tuple[str, str]) -> None:
    (line,) = lines(*prerequisites._mongod("Linux", libc, lambda _: True))
    assert "glibc 2.34" in line
    assert "MONGODB_URI" in line


def test_macos_needs_a_mongodb_of_ones_own() -> None:
    (line,) = lines(*prerequisites._mongod("Darwin", ("", ""), lambda _: True))
    assert line == "✗ there is no embedded mongod for Darwin: set MONGODB_URI to a MongoDB of yours (a replica set)"


def test_an_unsupported_platform_says_what_is_supported() -> None:
    (line,) = lines(*prerequisites._platform("Windows", "AMD64"))
    assert "WSL 2" in line
    assert list(prerequisites._platform("Linux", "aarch64")) == []


def test_too_few_file_descriptors_say_the_number_and_the_command() -> None:
    (line,) = lines(*prerequisites._descriptors(256))
    assert "(256, at least 1024 are needed)" in line
    assert "ulimit -n 1024" in line
    assert list(prerequisites._descriptors(1024)) == []


def test_the_soft_limit_of_descriptors_is_raised_as_far_as_allowed() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        assert prerequisites.raise_descriptor_limit() == min(hard, prerequisites.MAX_DESCRIPTORS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    (line,) = lines(*prerequisites._writable(tmp_path / "not" / "yet"))
    assert line.startswith(f"✗ no permission to write in {tmp_path}: chown it to ")


def test_a_file_in_the_place_of_the_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert lines(*prerequisites._writable(tmp_path / "data")) == [
        f"✗ {tmp_path / 'data'} is not a directory: name another with --data"
    ]


def test_a_python_that_cannot_make_environments_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "VENV", tmp_path / "none")
    monkeypatch.setattr(paths, "VENV_PYTHON", tmp_path / "none" / "bin" / "python")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (line,) = lines(*prerequisites._venv())
    assert line == "✗ this Python has no venv module: apt-get install python3-venv"


def test_a_compiler_is_wished_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Needs(data=Path(), compiler=True)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert list(prerequisites._wishes(needs, lambda _: None)) == ["gcc", "libc6-dev"]
    assert list(prerequisites._wishes(needs, lambda name: f"/usr/bin/{name}")) == []
    assert list(prerequisites._wishes(Needs(data=Path()), lambda _: None)) == []


def test_what_encrypts_fast_is_wished_for_where_it_is_made_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Needs(data=Path(), compiler=True)
    header = tmp_path / "header.h"
    monkeypatch.setattr(prerequisites, "FAST_SRTP_HEADER", header)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert list(prerequisites._wishes(needs, lambda name: name)) == ["libipsec-mb-dev"]
    header.write_text("")
    assert list(prerequisites._wishes(needs, lambda name: name)) == []


def test_what_makes_faults_is_wished_for_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Needs(data=Path(), faults=True)
    monkeypatch.setattr(prerequisites, "_installed", lambda *_: False)
    monkeypatch.setattr(prerequisites, "libfaketime", lambda: None)
    assert list(prerequisites._wishes(needs, lambda _: None)) == ["iptables", "libfaketime"]
    monkeypatch.setattr(prerequisites, "_installed", lambda *_: True)
    monkeypatch.setattr(prerequisites, "libfaketime", lambda: Path("libfaketimeMT.so.1"))
    assert list(prerequisites._wishes(needs, lambda _: None)) == []


def test_no_chromium_names_the_package_and_how_to_do_without() -> None:
    (missing,) = prerequisites._chromium(lambda _: None)
    assert missing.package == "chromium"
    assert "not e2e" in missing.line()


def test_all_that_is_missing_is_reported_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "can_install", lambda: False)
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    (tmp_path / "data").write_text("")
    with pytest.raises(PrerequisitesMissing) as caught:
        prerequisites.ensure(Needs(data=tmp_path / "data"), Progress())
    assert [line[:2] for line in str(caught.value).splitlines()] == ["✗ "] * 3


def test_where_we_may_a_package_is_installed_instead_of_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[str] = []
    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(debian, "install", lambda packages, log: installed.extend(packages))  # noqa: ARG005 - keyword
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/chromium" if installed else None)
    prerequisites.ensure(Needs(data=tmp_path, mongod=False, chromium=True), Progress())
    assert installed == ["chromium"]


def test_servers_of_the_users_need_nothing_embedded(tmp_path: Path) -> None:
    needs = Needs.of_services(tmp_path, {"MONGODB_URI": "mongodb://db", "REDIS_URL": ""})
    assert not needs.mongod


def test_what_is_only_wished_for_is_left_out_where_it_cannot_be_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(packages: list[str], log: Path) -> None:
        raise CommandFailed(f"apt-get install {' '.join(packages)} failed; its output: {log}")

    monkeypatch.setattr(debian, "can_install", lambda: True)
    monkeypatch.setattr(debian, "install", refuse)
    monkeypatch.setattr(prerequisites, "_installed", lambda *_: False)
    prerequisites.ensure(Needs(data=tmp_path, mongod=False, observing=True), Progress())
    assert "what needs haproxy, prometheus is left out" in capsys.readouterr().out


def test_observing_without_prometheus_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites, "_installed", lambda *_: False)
    needs = Needs(data=tmp_path, mongod=False, prometheus=True, haproxy=True)
    assert lines(*prerequisites.check(needs)) == [
        "✗ no Prometheus: apt-get install prometheus",
        "✗ no HAProxy: apt-get install haproxy, or leave --balancer out",
    ]
