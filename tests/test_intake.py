"""What is taken in, whose it is, and what is refused."""

import os
import stat
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfcourse.grading import intake
from mfcourse.grading.key import GradingError


def put(folder, *names, content=b"{}"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_the_student_is_the_name_before_the_first_mark(tmp_path):
    put(
        tmp_path,
        "anna__PS1.ipynb",
        "ben.b+1@x__PS1__v2.ipynb",
        "moodle_7/O'Neil, Émile__.ipynb",
    )
    taken, flags = intake.read(tmp_path)
    assert [one.student for one in taken] == ["O'Neil, Émile", "anna", "ben.b+1@x"]
    assert not flags
    assert all(not one.unreadable and one.content() == b"{}" for one in taken)
    assert len({one.sha256 for one in taken}) == 1


def test_what_is_no_submission_is_passed_over(tmp_path):
    put(
        tmp_path, "a__.ipynb", ".ipynb_checkpoints/a__-checkpoint.ipynb", "notes.txt",
        "__MACOSX/a__.ipynb", "._a__.ipynb", "notes.ipynb.bak",
    )  # fmt: skip
    taken, flags = intake.read(tmp_path)
    assert [one.file for one in taken] == ["a__.ipynb"]
    assert not flags


def test_other_files_with_a_name_are_seen(tmp_path):
    put(tmp_path, "anna__PS1.pdf", "ben__PS1.IPYNB", "cleo__PS1.py", "cleo__PS1.ipynb")
    taken, flags = intake.read(tmp_path)
    said = {one.student: one.unreadable for one in taken}
    assert said == {"anna": "it is no notebook (.ipynb)", "ben": ""}
    assert list(flags) == ["cleo"]


def test_a_name_with_signs_that_do_not_print_is_shown_as_such(tmp_path):
    put(tmp_path, "a\x1b[31m\n__PS1.ipynb")
    _, flags = intake.read(tmp_path)
    assert list(flags) == [r"a\x1b[31m\n__PS1.ipynb"]


def test_a_file_that_changes_is_noticed_and_none_is_kept_in_memory(tmp_path):
    put(tmp_path, "anna__PS1.ipynb")
    ((anna,), _) = intake.read(tmp_path)
    assert anna.content() == b"{}"
    put(tmp_path, "anna__PS1.ipynb", content=b"[]")
    with pytest.raises(GradingError, match="it changed"):
        anna.content()


def test_names_that_platforms_give_are_understood(tmp_path):
    put(
        tmp_path, "smithjane_12345_67890_jane__PS1-1.ipynb",
        "doe_LATE_123_456_john__PS1.ipynb",
        "Kim Lee_555_assignsubmission_file/PS1.ipynb",
        "Bo_556_assignsubmission_file_/bo__PS1.ipynb",
        "a_1_2__PS1/a_1_2__PS1.ipynb",
    )  # fmt: skip
    taken, flags = intake.read(tmp_path)
    assert [one.student for one in taken] == ["Bo", "Kim Lee", "a_1_2", "jane", "john"]
    assert not flags


@pytest.mark.parametrize("name", ["PS1.ipynb", "__PS1.ipynb", "<b>__PS1.ipynb",
                                  "=1+1__PS1.ipynb", "a;b__x.ipynb"])  # fmt: skip
def test_a_name_that_does_not_say_whose_it_is_is_flagged(tmp_path, name):
    put(tmp_path, name, "ben__PS1.ipynb")
    taken, flags = intake.read(tmp_path)
    assert [one.student for one in taken] == ["ben"]
    assert "expected STUDENT__" in flags[name]


@pytest.mark.parametrize(
    "names",
    [
        ("anna__PS1.ipynb", "anna__PS1-2.ipynb"),
        ("anna__PS1.ipynb", "Anna__PS1.ipynb"),
        ("Zo\u00eb__PS1.ipynb", "Zoe\u0308__PS1.ipynb"),
        ("a/anna__PS1.ipynb", "b/anna__PS1.ipynb"),
    ],
)
def test_several_files_of_one_student_are_flagged_and_none_is_taken(tmp_path, names):
    put(tmp_path, *names, "ben__PS1.ipynb")
    taken, flags = intake.read(tmp_path)
    assert [one.student for one in taken] == ["ben"]
    assert flags
    for said in flags.values():
        assert said.startswith("several files for one student")


def test_only_plain_files_are_read(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"a key")
    inside = tmp_path / "in"
    put(inside, "ok__.ipynb")
    (inside / "link__.ipynb").symlink_to(secret)
    (inside / "loop__.ipynb").symlink_to(inside)
    (inside / "folder__.ipynb").mkdir()
    os.mkfifo(inside / "pipe__.ipynb")
    (inside / "elsewhere").symlink_to(tmp_path)
    said = {one.student: one.unreadable for one in intake.read(inside)[0]}
    assert said == {
        "ok": "", "link": "it is a link", "loop": "it is a link",
        "folder": "it is no plain file", "pipe": "it is no plain file",
    }  # fmt: skip


def test_a_file_that_is_too_large_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "LARGEST", 1000)
    put(tmp_path, "a__.ipynb", content=b"x" * 1001)
    put(tmp_path, "b__.ipynb", content=b"x" * 1000)
    a, b = intake.read(tmp_path)[0]
    assert "larger than" in a.unreadable
    assert a.content() == b""
    assert len(b.content()) == 1000


def test_what_holds_no_notebook_is_told(tmp_path, monkeypatch):
    with pytest.raises(GradingError, match="no notebook"):
        intake.read(tmp_path)
    with pytest.raises(GradingError, match="is not there"):
        intake.read(tmp_path / "nowhere")
    put(tmp_path, "x.zip", content=b"PK no zip")
    with pytest.raises(GradingError, match="no zip that can be read"):
        intake.read(tmp_path / "x.zip")
    put(tmp_path, "a__.ipynb", "b__.ipynb")
    monkeypatch.setattr(intake, "MOST", 1)
    with pytest.raises(GradingError, match="2 notebooks"):
        intake.read(tmp_path)


def zipped(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_is_read_as_a_folder_and_nothing_is_unpacked(tmp_path):
    members = {
        "a__.ipynb": "{}",
        "./x/b__.ipynb": "{}",
        "__MACOSX/a__.ipynb": "",
        "x/": "",
    }
    path = zipped(tmp_path / "in.zip", members)
    taken, flags = intake.read(path)
    assert [one.student for one in taken] == ["a", "b"]
    assert not flags
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../a__.ipynb", "/etc/a__.ipynb", "x/../../a__.ipynb",
                                  "C:\\\\a__.ipynb", "..\\\\a__.ipynb"])  # fmt: skip
def test_a_zip_that_would_leave_its_folder_is_refused(tmp_path, name):
    path = zipped(tmp_path / "in.zip", {"b__.ipynb": "{}", name: "{}"})
    with pytest.raises(GradingError, match="would leave its folder"):
        intake.read(path)


def test_a_link_and_a_damaged_or_huge_member_cost_only_their_student(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(intake, "LARGEST", 1000)
    link = zipfile.ZipInfo("link__.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "in.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a__.ipynb", "{}")
        archive.writestr("bad__.ipynb", "marker " * 9)
        archive.writestr("huge__.ipynb", b"0" * 10**7)
        archive.writestr(link, "/etc/passwd")
    content = bytearray(path.read_bytes())
    at = content.index(b"bad__.ipynb") + len("bad__.ipynb")
    content[at + 2] ^= 0xFF
    path.write_bytes(content)
    said = {one.student: one.unreadable for one in intake.read(path)[0]}
    assert said["a"] == ""
    assert "damaged" in said["bad"]
    assert "larger" in said["huge"]
    assert said["link"] == "it is a link"


@given(st.text(st.characters(exclude_characters="/\0"), max_size=30))
def test_a_students_name_is_never_a_path_or_a_formula(name):
    whose = intake._whose(f"{name}__PS1.ipynb")
    assert whose[:1] not in {*"=-+@. "}
    assert not {*'/\\<>&"\n\r\t\0'} & {*whose}
    whose.encode()
