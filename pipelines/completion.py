"""Print what lets bash or zsh complete commands, keys, options, datasets and sweeps after the Tab key.

    eval "$(python -m pipelines.completion bash)"      a line for ~/.bashrc
    eval "$(python -m pipelines.completion zsh)"       a line for ~/.zshrc, after compinit

It is a function of the shell: nothing of this project is started when the Tab key is pressed.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence

from conf import help as keys
from conf.schema import ConfigError, did_you_mean
from pipelines.command import COMMANDS, execute, show_help

SHELLS = ("bash", "zsh")
# The keys of each command; `sweep` and `data` have those of the configuration.
OPTIONS = {
    "list": ("sweep", "directory", "tracking.uri", "format"),
    "confirm": ("sweep", "top", "seeds", "order", "resume", "tracking.uri", "engine.workers"),
    "report": ("sweep", "tracking.uri"),
    "export": ("sweep", "format", "tracking.uri"),
    "predict": ("model", "file", "format", "tracking.uri"),
    "ui": ("tracking.uri", "port", "open"),
    "sync": ("tracking.uri",),
    "reproduce": ("tracking.uri", "engine.threads", "engine.memory", "engine.workers"),
}
CONFIGURED = ("sweep", "data")
# Of keys that are not of the configuration, each behind its command.
VALUES = {
    **dict.fromkeys(("list.format", "predict.format"), ("table", "json")),
    "export.format": ("csv", "parquet"),
    "ui.open": ("true", "false"),
    "confirm.order": ("true", "false", "each"),
}
FLAGS = ("--help", "--cfg", "-m")

CORE = """
_text_sweeps_keys() {
    case $1 in
KEYS
    esac
}
_text_sweeps_space() {
    case $1 in
SPACES
    esac
}
# Prints the keys of the command $1, where the words behind it stand in the line: of the network that is chosen, or of
# each of several, and of tables.
_text_sweeps_keys_here() {
    local command=$1 each name others='^$'
    shift
    for each in "$@"; do
        case $command:$each in
            sweep:model=\\[*)
                printf '%s\n' "${each#*=}" | tr -s '[],' '\n' | while IFS= read -r name; do
                    _text_sweeps_space "$name" | sed "s,^model,networks.$name,"
                done ;;
            sweep:model=*,*) ;;
            sweep:model=?*) others='^model[.]space[.]'; _text_sweeps_space "${each#*=}" ;;
            sweep:data=*[./]*|data:data=*[./]*)
                name=${each#*=} name=${name%/} name=${name##*/} name=${name%%.*}
                case $name in
                    ''|*[!A-Za-z0-9_-]*) ;;
                    *) _text_sweeps_keys sweep | sed -n "s,^datasets[.]DATASET[.],datasets.$name.,p" ;;
                esac ;;
        esac
    done
    _text_sweeps_keys "$command" | grep -v "$others"
}
_text_sweeps_sweeps() {
    find outputs -mindepth 1 -maxdepth 1 -type d 2>/dev/null
}
_text_sweeps_files() {
    local each
    [ -z "${ZSH_VERSION-}" ] || setopt localoptions null_glob
    for each in "$1"*; do
        if [ -d "$each" ]; then printf '%s/\\n' "$each"; elif [ -e "$each" ]; then printf '%s\\n' "$each"; fi
    done
}
_text_sweeps_values() {
    case $1.$2 in
OF_A_COMMAND
    esac
    case $2 in
VALUES
        data) printf '%s\\n' DATASETS; _text_sweeps_files "$3" ;;
        resume) _text_sweeps_sweeps ;;
        sweep) _text_sweeps_sweeps | sed 's,^outputs/,,' ;;
        file|directory|*.archive|*.words|*.files) _text_sweeps_files "$3" ;;
    esac
}
# Prints what may stand in the place of the word $2 in a line of the command $1; the words of the line follow.
_text_sweeps_candidates() {
    local command=$1 word=$2 key value start each rest
    shift 2
    case $word in
        *=*)
            key=${word%%=*} value=${word#*=}
            rest=${value##*[[,]}
            start=${value%"$rest"}
            [ "$command.$key" != predict.model ] || return 0  # those of a registry, which could take seconds to answer
            _text_sweeps_values "$command" "$key" "$rest" | while IFS= read -r each; do
                printf '%s\\n' "$key=$start$each"
            done ;;
        *)
            [ "$command" != sync ] || _text_sweeps_sweeps
            _text_sweeps_keys_here "$command" "$@" | while IFS= read -r each; do
                rest=${each#"$word"}
                [ "$rest" != "$each" ] || [ -z "$word" ] || continue
                case $rest in *.*) each=$word${rest%%.*}. ;; esac
                printf '%s\\n' "$each"
            done ;;
    esac
}
"""
BASH = """
_text_sweeps() {
    local line=${COMP_LINE:0:COMP_POINT} command word kept each
    local -a words
    word=${line##*[[:space:]]}
    read -ra words <<<"${line%"$word"}"
    command=${words[1]}
    kept=${word%"${word##*[=:]}"}  # what readline takes for words of their own
    COMPREPLY=()
    while IFS= read -r each; do
        case $each in
            *[[:space:]]*) ;;
            "$word"*[=/.]) COMPREPLY+=("${each#"$kept"}") ;;
            "$word"*) COMPREPLY+=("${each#"$kept"} ") ;;
        esac
    done < <(_text_sweeps_candidates "$command" "$word" "${words[@]:2}")
}
complete -o nospace -F _text_sweeps text-sweeps
"""
ZSH = """
_text_sweeps() {
    local command= each
    local -a more whole
    [ "$CURRENT" -le 2 ] || command=${words[2]}
    for each in "${(@f)$(_text_sweeps_candidates "$command" "$PREFIX" "${(@)words[3,-1]}")}"; do
        case $each in
            '') ;;
            *[=/.]) more+=("$each") ;;
            *) whole+=("$each") ;;
        esac
    done
    compadd -S '' -a more
    compadd -a whole
}
compdef _text_sweeps text-sweeps
alias text-sweeps='noglob text-sweeps'  # otherwise zsh looks for files in model=[bag,cnn]
"""


def main() -> None:
    execute(lambda console: show(sys.argv[1:]))


def show(arguments: Sequence[str]) -> bool:
    """Print the lines for a shell, and return True; raises `ConfigError` for another one."""
    show_help(arguments, __doc__)
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        given = " ".join(arguments)
        raise ConfigError(f"{given or 'no shell'}: allowed: {', '.join(SHELLS)}{did_you_mean(given, SHELLS)}")
    print(script(arguments[0]))
    return True


def script(shell: str) -> str:
    """Return the functions of a shell."""
    named = [_case(command, [f"{key}=" for key in options]) for command, options in OPTIONS.items()]
    configured = [*(f"{key}=" for key in _configured()), *FLAGS]
    lines = [_case("''", list(COMMANDS)), _case("|".join(CONFIGURED), configured), *named]
    values = [_case(key, options) for key, options in _values()]
    of_a_command = [_case(key, options) for key, options in VALUES.items()]
    spaces = [
        _case(network, [f"model.space.{name}=" for name in names])
        for network, names in keys.hyperparameters("model").items()
    ]
    datasets = list(keys.options("data"))
    core = CORE.replace("KEYS", "\n".join(lines)).replace("VALUES", "\n".join(values))
    core = core.replace("OF_A_COMMAND", "\n".join(of_a_command)).replace("SPACES", "\n".join(spaces))
    core = core.replace("DATASETS", " ".join(datasets)).replace("DATASET", datasets[0])
    return core + {"bash": BASH, "zsh": ZSH}[shell]


def _case(pattern: str, words: Sequence[str]) -> str:
    return f"        {pattern}) printf '%s\\n' {' '.join(map(shlex.quote, words))} ;;"


def _configured() -> Iterator[str]:
    """Yield the keys of the configuration, with the names of datasets and hyperparameters."""
    yield from keys.CHOICES
    for key in keys.all_keys():
        for name in keys.options("data") if key.name.startswith("datasets.") else [""]:
            if not key.name.startswith("networks.") and not key.name.endswith(".space"):
                yield key.name.replace("<name>", name)
    for group in ("model", "optimizer"):
        names = (name for option in keys.hyperparameters(group).values() for name in option)
        yield from (f"{group}.space.{name}" for name in dict.fromkeys(names))


def _values() -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the keys of which a few values are known, as patterns, and these values."""
    yield from ((group, list(keys.options(group))) for group in keys.CHOICES if group != "data")
    for key in keys.all_keys():
        if " | " in key.values:
            yield key.name.replace("<name>", "*"), key.values.split(" | ")


if __name__ == "__main__":
    main()
