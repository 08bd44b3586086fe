"""dsncodec completion: a script that lets a shell complete verbs, options and the words that options take."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .common import EXIT_DONE

# What stands for a file in the help: the others take none, and fish offers none
_FILES = ("FILE", "DIR", "DIR|-", "FILE|-", "FILE|DIR|-", "FOLDER", "INPUT", "SRC", "DST", "RECIPE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "shell",
        choices=tuple(SHELLS),
        help='bash and zsh: eval "$(dsncodec completion bash)" in .bashrc, or .zshrc; fish: dsncodec completion fish > '
        "~/.config/fish/completions/dsncodec.fish",
    )


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(SHELLS[args.shell](_verbs()), end="")
    return EXIT_DONE


@dataclass(frozen=True)
class Option:
    """``names`` as they are typed; none: what stands without an option. ``words`` are what it takes, where they are known."""

    names: tuple[str, ...]
    help: str
    words: tuple[str, ...] = ()
    takes_value: bool = False
    takes_file: bool = False


@dataclass(frozen=True)
class Verb:
    """A verb and its options."""

    name: str
    purpose: str
    options: tuple[Option, ...]

    @property
    def words(self) -> list[str]:
        """Words that stand without an option."""
        return [word for option in self.options if not option.names for word in option.words]


def _verbs() -> list[Verb]:
    from . import VERBS, verb_parsers

    return [Verb(name, VERBS[name][1], tuple(_options(parser))) for name, parser in verb_parsers().items()]


def _options(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        yield Option(
            tuple(action.option_strings),
            # the first sentence, and no format of argparse's own
            (action.help or "").replace("%(default)s", str(action.default)).partition(";")[0],
            tuple(map(str, action.choices or ())),
            takes_value=action.nargs != 0,
            takes_file=metavar in _FILES,
        )


def _bash(verbs: list[Verb]) -> str:
    options, words, values = [], [], []
    for verb in verbs:
        names = " ".join(name for option in verb.options for name in option.names)
        options.append(f"    {verb.name}) words={shlex.quote(names)} ;;")
        if verb.words:
            words.append(f"    {verb.name}) words={shlex.quote(' '.join(verb.words))} ;;")
        for option in verb.options:
            if option.names and option.takes_value:
                cases = "|".join(f"{verb.name}:{name}" for name in option.names)
                known = shlex.quote(" ".join(option.words))
                values.append(f"    {cases}) words={known} ;;")
    first = shlex.quote(" ".join([*(verb.name for verb in verbs), "--help", "--version"]))
    return "\n".join(
        [
            "# dsncodec completion bash: where no word fits, names of files",
            "_dsncodec() {",
            '  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" verb="${COMP_WORDS[1]}" words=',
            '  case "$verb" in',
            *words,
            "  esac",
            '  case "$current" in -*) case "$verb" in',
            *options,
            "  esac ;; esac",
            '  case "$verb:$before" in',
            *values,
            "  esac",
            f'  if [ "$COMP_CWORD" -eq 1 ]; then words={first}; fi',
            '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
            "}",
            "complete -o bashdefault -o default -F _dsncodec dsncodec",
            "",
        ]
    )


def _zsh(verbs: list[Verb]) -> str:
    """The script of bash, by the part of zsh that runs such."""
    begun = "(( $+functions[compdef] )) || { autoload -U compinit && compinit }"
    return "\n".join([begun, "autoload -U +X bashcompinit && bashcompinit", _bash(verbs)])


def _fish(verbs: list[Verb]) -> str:
    lines = ["# dsncodec completion fish", "complete -c dsncodec -n __fish_use_subcommand -f"]
    for verb in verbs:
        lines.append(
            f"complete -c dsncodec -n __fish_use_subcommand -a {verb.name} -d {_fish_quoted(verb.purpose)}"
        )
    for verb in verbs:
        seen = f"-n '__fish_seen_subcommand_from {verb.name}'"
        for option in verb.options:
            if not option.names:
                if option.words:
                    lines.append(f"complete -c dsncodec {seen} -f -a {_fish_quoted(' '.join(option.words))}")
                continue
            named = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
            value = []
            if option.words:
                value = ["-x", "-a", _fish_quoted(" ".join(option.words))]
            elif option.takes_value:
                value = ["-r"] if option.takes_file else ["-x"]
            about = f"-d {_fish_quoted(option.help)}"
            lines.append(" ".join(["complete -c dsncodec", seen, *named, *value, about]))
    return "\n".join([*lines, ""])


def _fish_quoted(text: str) -> str:
    """Between single quotes, where fish knows a backslash and nothing else.

    >>> print(_fish_quoted("a phone's"))
    'a phone\\'s'
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS: dict[str, Callable[[list[Verb]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
