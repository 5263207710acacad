"""Renders every .jinja of a folder with transformers and with KernelForge, and says how many are equal.

    python scripts/chat_templates.py FOLDER [--diff]      (pip install transformers jinja2)
    python scripts/chat_templates.py FOLDER --write       the texts of transformers, into NAME.json beside each NAME.jinja

Each template renders six conversations: with a system message, with tools, with a tool's result, of several turns, without
messages, and with characters that HTML and JSON escape. A template is equal if all six are, byte for byte; where transformers
raises an error, so must we, in whatever words.
"""

import argparse
import datetime
import difflib
import json
import pathlib
import subprocess
import sys

from transformers.utils import chat_template_utils

NOW = datetime.datetime(2026, 3, 5, 14, 7, 9)
ROOT = pathlib.Path(__file__).resolve().parent.parent


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a place, <now> & later.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "A city's name"},
                "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                "days": {"type": "integer", "minimum": 1},
                "hours": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["place"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds é and 日.",
        "parameters": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": ["number", "null"]}}},
        "return": {"type": "number"},
    },
}
CALL = {
    "id": "call00001",
    "type": "function",
    "function": {"name": "get_weather", "arguments": {"place": "Köln", "days": 2, "hours": [0.5, 1e20], "unit": None, "now": True}},
}


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


CONVERSATIONS = {
    "system": {"messages": [turn("system", "Be brief."), turn("user", "Hi!")], "add_generation_prompt": True},
    "tools": {"messages": [turn("user", "Weather in Köln?")], "tools": [WEATHER, ADD], "add_generation_prompt": True},
    "tool result": {
        "messages": [
            turn("user", "Weather in Köln?"),
            turn("assistant", "", tool_calls=[CALL], reasoning_content="I should look."),
            turn("tool", '{"degrees": 21.5, "sky": "<clear>"}', name="get_weather", tool_call_id="call00001"),
        ],
        "tools": [WEATHER],
        "add_generation_prompt": True,
    },
    "turns": {
        "messages": [
            turn("user", "One"),
            turn("assistant", "<think>\nhm\n</think>\n\nTwo"),
            turn("user", "  Three \n"),
            turn("assistant", "Four"),
            turn("user", [{"type": "text", "text": "Five"}]),
        ],
        "add_generation_prompt": False,
    },
    "empty": {"messages": [], "add_generation_prompt": True},
    "escapes": {
        "messages": [turn("user", "a<b>&'c'\"d\"\\n\u2028\U0001f600\x7f{{ x }}"), turn("assistant", "'quoted'")],
        "add_generation_prompt": False,
    },
}
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}


def theirs(source, conversation):
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            [conversation["messages"]],
            tools=conversation.get("tools"),
            chat_template=source,
            add_generation_prompt=conversation["add_generation_prompt"],
            **VARIABLES,
        )
        return {"text": texts[0]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def ours(program, path):
    conversations = [{**conversation, "variables": VARIABLES} for conversation in CONVERSATIONS.values()]
    run = subprocess.run(
        [program, path, "/dev/stdin", NOW.isoformat()], input=json.dumps(conversations), capture_output=True, text=True
    )
    if run.returncode:
        return [{"error": run.stderr.strip()}] * len(conversations)
    return json.loads(run.stdout)


def differences(path, program, show):
    source = path.read_text(encoding="utf-8")
    count = 0
    for (name, conversation), our in zip(CONVERSATIONS.items(), ours(program, path)):
        their = theirs(source, conversation)
        if their.get("text") == our.get("text"):
            continue
        count += 1
        if show and count == 1:
            print(f"--- {path.name}, {name}")
            lines = [str(side.get("text", "error: " + side.get("error", ""))).splitlines(True) for side in (their, our)]
            print("".join(difflib.unified_diff(*lines, "transformers", "kforge", n=1)))
    return count


def write(path):
    source = path.read_text(encoding="utf-8")
    texts = {name: theirs(source, conversation).get("text") for name, conversation in CONVERSATIONS.items()}
    path.with_suffix(".json").write_text(json.dumps(texts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--diff", action="store_true", help="show the first conversation of each that differs")
    parser.add_argument("--write", action="store_true", help="write what transformers renders, and CONVERSATIONS.json")
    options = parser.parse_args()
    paths = sorted(options.folder.glob("*.jinja"))
    if options.write:
        for path in paths:
            write(path)
        conversations = {name: {**conversation, "variables": VARIABLES} for name, conversation in CONVERSATIONS.items()}
        text = json.dumps({"now": NOW.isoformat(), "conversations": conversations}, ensure_ascii=False, indent=2)
        (options.folder / "CONVERSATIONS.json").write_text(text + "\n", encoding="utf-8")
        return 0
    build = ["cargo", "build", "--quiet", "-p", "kforge-checkpoint", "--example", "render_chat"]
    subprocess.run(build, cwd=ROOT, check=True)
    program = ROOT / "target/debug/examples/render_chat"
    counts = {path.name: differences(path, program, options.diff) for path in paths}
    for name, count in counts.items():
        if count:
            print(f"{name}: {count} of {len(CONVERSATIONS)} differ")
    equal = sum(count == 0 for count in counts.values())
    print(f"{equal} of {len(counts)} equal")
    return 0 if equal == len(counts) else 1


sys.exit(main())
