"""Marks of chat templates inside text: a model that was taught with them takes them for the end of a turn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.tally import Tally

# Special tokens and turn marks of published chat templates. Source: the templates of ChatML, Llama 2 to 4, Mistral,
# Gemma, Phi, Zephyr, Command R, DeepSeek, Qwen, Granite, gpt-oss (harmony), Falcon, ChatGLM, T5 and BERT vocabularies.
_TOKENS = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|endofprompt|begin_of_text|end_of_text|start_header_id|end_header_id|eot_id"
    r"|eom_id|python_tag|finetune_right_pad_id|header_start|header_end|eot|eom|system|user|assistant|observation|end"
    r"|tool|tool_call|tool_response|start|channel|message|return|call|constrain|startoftext|END_OF_TURN_TOKEN"
    r"|START_OF_TURN_TOKEN|USER_TOKEN|CHATBOT_TOKEN|SYSTEM_TOKEN|start_of_role|end_of_role|fim_prefix|fim_middle"
    r"|fim_suffix|vision_start|vision_end|image_pad|object_ref_start|box_start|pad|bos|eos|sep|cls|mask|unk)\|>"
    r"|<\uff5c(?:begin|end)\u2581of\u2581sentence\uff5c>|<\uff5c(?:User|Assistant)\uff5c>"
    r"|<(?:start_of_turn|end_of_turn|bos|eos|sop|eop|unused\d{1,3}|extra_id_\d{1,3}|endoftext)>"
    r"|\[/?INST\]|<</?SYS>>|\[(?:/?SYSTEM_PROMPT|/?AVAILABLE_TOOLS|/?TOOL_RESULTS|TOOL_CALLS|gMASK|CLS|SEP|MASK|PAD)\]"
)
# Headings and tags that also stand in honest text.
_LOOSE = re.compile(
    r"</?s>|^#{2,3} ?(?:Instruction|Response|Input|Human|Assistant|System|User)\b:?|</?(?:tool_call|tool_response|think)>",
    re.MULTILINE,
)
_SHOWN = 6


class ChatMarks:
    """`chat-mark`: special tokens of chat templates (warning); `chat-heading`: marks that may be meant (note)."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tokens, self._loose = Tally(), Tally()
        self._counts: Counter[str] = Counter()
        self._loose_counts: Counter[str] = Counter()

    def see(self, row: Seen) -> None:
        if self._scene.odd:
            for text in row.inputs.values():
                if "<" in text or "[" in text or "##" in text:
                    self._look(row.number, text)
        for text in row.columns.values():
            if "<" in text or "[" in text or "##" in text:
                self._look(row.number, text)

    def _look(self, number: int, text: str) -> None:
        tokens = _TOKENS.findall(text)
        if tokens:
            self._tokens.add(number)
            self._counts.update(tokens)
        loose = _LOOSE.findall(text)
        if loose:
            self._loose.add(number)
            self._loose_counts.update(loose)

    def findings(self) -> Iterator[Finding]:
        if len(self._tokens):
            yield self._tokens.finding(
                self._scene,
                "chat-mark",
                "warning",
                f"{len(self._tokens)} rows hold marks of chat templates inside their text: {_listed(self._counts)}",
                fix="take the marks out of the text, or read the rows as messages; a model of that template "
                "takes them for the end of a turn",
            )
        if len(self._loose):
            yield self._loose.finding(
                self._scene,
                "chat-heading",
                "note",
                f"{len(self._loose)} rows hold headings or tags as prompts have them: {_listed(self._loose_counts)}",
                fix="take them out if they come from a prompt and are not part of the text",
            )


def _listed(counts: Counter[str]) -> str:
    shown = [f"{mark} ({count})" for mark, count in counts.most_common(_SHOWN)]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} others" if more > 0 else "")
