"""Shell completion: the script of each shell, run by that shell where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dsncodec.cli import VERBS, completion, main, verb_parsers


@pytest.fixture(scope="module", params=["bash", "zsh"])
def like_bash(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    name: str = request.param
    return name


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


def by_bash(shell: str, text: str, words: list[str]) -> set[str]:
    """What the shell would offer for the last of the words."""
    if shell == "zsh":  # as bashcompinit calls such functions, without a terminal
        text = "compgen() { shift; print -l -- ${(M)${=1}:#$3*} }\ncomplete() { }\n" + text.split("\n", 2)[2]
        text = "setopt ksharrays shwordsplit\n" + text
    quoted = " ".join(f"'{word}'" for word in words)
    call = (
        f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _dsncodec; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    options = ["-f"] if shell == "zsh" else ["--norc"]
    done = subprocess.run(
        [shell, *options, "-c", f"{text}\n{call}"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(done.stdout.split())


def by_fish(text: str, words: list[str], folder: Path) -> set[str]:
    path = folder / "dsncodec.fish"
    path.write_text(text)
    command = f"source {path}; complete -C '{' '.join(words)}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_every_verb_and_option_is_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert set(completion.SHELLS) == {"bash", "zsh", "fish"}
    for verb, parser in verb_parsers().items():
        assert f"{verb}) words=" in text or f"__fish_seen_subcommand_from {verb}'" in text
        for action in parser._actions:
            for name in action.option_strings:
                if action.help != "==SUPPRESS==":
                    assert name in text or f"-l {name[2:]} " in text or f"-s {name[1:]} " in text, name


CASES = {
    "a verb": (["dsncodec", "de"], {"decode", "denoise"}),
    "an option": (["dsncodec", "encode", "--los"], {"--lossless"}),
    "a choice": (["dsncodec", "encode", "--method", "la"], {"latentgrid"}),
    "a word": (["dsncodec", "completion", "b"], {"bash"}),
}


@pytest.mark.parametrize("case", CASES)
def test_bash_and_zsh(case: str, like_bash: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, offered = CASES[case]
    assert by_bash(like_bash, script(like_bash, capsys), words) == offered


@pytest.mark.parametrize("words", [["encode", ""], ["encode", "-o", ""], ["bench", "--output", ""]])
def test_bash_leaves_files_to_the_shell(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer, and the script says -o default."""
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    text = script("bash", capsys)
    assert by_bash("bash", text, ["dsncodec", *words]) == set()
    assert "complete -o bashdefault -o default" in text


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
@pytest.mark.parametrize("case", CASES)
def test_fish(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, offered = CASES[case]
    assert by_fish(script("fish", capsys), words, tmp_path) == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_fish_offers_files_where_an_option_takes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script("fish", capsys)
    (tmp_path / "photo.png").touch()
    assert by_fish(text, ["dsncodec", "encode", "--output", "pho"], tmp_path) == {"photo.png"}
    assert by_fish(text, ["dsncodec", "encode", "pho"], tmp_path) == {"photo.png"}
    assert by_fish(text, ["dsncodec", "pho"], tmp_path) == set()


def test_verbs_stand_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    places = [
        out.index(f"\n{title}:\n")
        for title in ("Everyday", "Compare", "Restore and change pictures", "Research")
    ]
    assert places == sorted(places)
    assert all(out.count(f"\n  {verb} ") == 1 for verb in VERBS)
