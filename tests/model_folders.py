"""For tests: a small sound model folder, a corpus of hostile ones, and wheels that carry them."""

from __future__ import annotations

import json
import os
import socket
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "auto_map", "__class__"]
EVIL = "import os\nos.system('touch canary')\n"
# A pickle that runs os.system when it is read: what the gate must never do.
PICKLE = b"cposix\nsystem\n(S'touch canary'\ntR."


def config(**changes: object) -> dict[str, object]:
    """A small config.json; None removes a key."""
    fields: dict[str, object] = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": len(VOCABULARY),
        "max_position_embeddings": 16,
        "type_vocab_size": 2,
    }
    return {key: value for key, value in (fields | changes).items() if value is not None}


def tokenizer(**changes: object) -> dict[str, object]:
    """A WordPiece tokenizer.json whose vocabulary holds words that are keys of remote code elsewhere."""
    fields: dict[str, object] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": VOCABULARY[index],
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index in range(5)
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": word_piece(),
    }
    return fields | changes


def word_piece(**changes: object) -> dict[str, object]:
    """The model part of the tokenizer."""
    fields: dict[str, object] = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {token: index for index, token in enumerate(VOCABULARY)},
    }
    return fields | changes


def entry(
    begin: int, end: int, *, dtype: object = "F32", shape: object = None
) -> dict[str, object]:
    """One tensor of a header."""
    size = [(end - begin) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": size, "data_offsets": [begin, end]}


def header(
    tensors: Mapping[str, object] | bytes, *, data_bytes: int, length: int | None = None
) -> bytes:
    """A safetensors file, with a header that may be a lie."""
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    stated = len(text) if length is None else length
    return stated.to_bytes(8, "little") + text + bytes(data_bytes)


SOUND = {"__metadata__": {"format": "pt"}, "a": entry(0, 2400), "b": entry(2400, 4000)}


def make_good(folder: Path, **changes: object) -> Path:
    """Write a model folder that passes the gate."""
    folder.mkdir(parents=True, exist_ok=True)
    put(folder, "config.json", config(**changes))
    put(folder, "tokenizer.json", tokenizer())
    put(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    (folder / "model.safetensors").write_bytes(header(SOUND, data_bytes=4000))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    return folder


def put(folder: Path, name: str, value: object) -> None:
    """Write JSON, or text and bytes as they are."""
    if isinstance(value, bytes):
        (folder / name).write_bytes(value)
    else:
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


@dataclass(frozen=True, slots=True)
class Hostile:
    """One way to be hostile, and the code it must be refused with. `plain`: regular files alone show it."""

    name: str
    code: str
    spoil: Callable[[Path], None]
    plain: bool = True


def _link(folder: Path) -> None:
    (folder / "config.json").rename(folder.parent / "elsewhere.json")
    (folder / "config.json").symlink_to(folder.parent / "elsewhere.json")


def _hard(folder: Path) -> None:
    os.link(folder / "model.safetensors", folder.parent / "second-name")


def _pipe(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")


def _socket(folder: Path) -> None:
    (folder / "config.json").unlink()
    here = os.getcwd()
    os.chdir(folder)  # a socket's path may have 108 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("config.json")
    finally:
        os.chdir(here)


def _swap_folder(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def _link_to(name: str, target: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return spoil


def _drop(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def _write(name: str, value: object) -> Callable[[Path], None]:
    return lambda folder: put(folder, name, value)


def _weights(tensors: Mapping[str, object] | bytes, **rest: Any) -> Callable[[Path], None]:
    return _write("model.safetensors", header(tensors, **{"data_bytes": 4000, **rest}))


def _pickled(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(PICKLE)

    return spoil


def _shards(index: object, *names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in names:
            put(folder, name, header(SOUND, data_bytes=4000))
        if index is not None:
            put(folder, "model.safetensors.index.json", index)

    return spoil


def _crowd(folder: Path) -> None:
    for number in range(1001):
        (folder / f"readme{number}").touch()


def _nested(depth: int) -> str:
    return '{"model_type": "bert", "x": ' + "[" * depth + "]" * depth + "}"


def _growing(rules: int) -> dict[str, object]:
    rule = {"type": "Replace", "pattern": {"String": "e"}, "content": "ee"}
    return {"type": "Sequence", "normalizers": [rule] * rules}


_ONE = "model-00001-of-00002.safetensors"
_TWO = "model-00002-of-00002.safetensors"

CORPUS = (
    # kinds of files
    Hostile("link to a file", "base-file-not-regular", _link, plain=False),
    Hostile("link to a password file", "base-file-not-regular", _link_to("tokenizer_config.json", "/etc/passwd"), plain=False),
    Hostile("dangling link", "base-file-not-regular", _link_to("special_tokens_map.json", "/nowhere"), plain=False),
    Hostile("link to an endless device", "base-file-not-regular", _link_to("tokenizer.json", "/dev/zero"), plain=False),
    Hostile("link among the companions", "base-file-not-regular", _link_to("vocab.txt", "/etc/passwd"), plain=False),
    Hostile("linked companion folder", "base-file-unlisted", _link_to("onnx", "/etc"), plain=False),
    Hostile("link to itself", "base-file-not-regular", _link_to("config.json", "config.json"), plain=False),
    Hostile("second name of a file", "base-file-hardlink", _hard, plain=False),
    Hostile("named pipe", "base-file-not-regular", _pipe, plain=False),
    Hostile("socket", "base-file-not-regular", _socket, plain=False),
    Hostile("folder for a config", "base-file-not-regular", _swap_folder("config.json"), plain=False),
    Hostile("folder for weights", "base-file-not-regular", _swap_folder("model.safetensors"), plain=False),
    # names
    Hostile("python module", "base-file-unlisted", _write("modeling_bert.py", EVIL), plain=False),
    Hostile("package marker", "base-file-unlisted", _write("__init__.py", EVIL), plain=False),
    Hostile("shared library", "base-file-unlisted", _write("libkernel.so", b"\x7fELF"), plain=False),
    Hostile("path file of site", "base-file-unlisted", _write("x.pth.py", EVIL), plain=False),
    Hostile("shell script", "base-file-unlisted", _write("setup.sh", "touch canary"), plain=False),
    Hostile("yaml with an object", "base-file-unlisted", _write("config.yaml", "!!python/object/apply:os.system [ls]"), plain=False),
    Hostile("chat template of megabytes", "base-file-large", _write("chat_template.jinja", "x" * (2 << 20)), plain=False),
    Hostile("archive", "base-file-unlisted", _write("model.tar.gz", b"\x1f\x8b"), plain=False),
    Hostile("unknown folder", "base-file-unlisted", lambda f: (f / "custom_generate").mkdir(), plain=False),
    Hostile("name with an escape", "base-file-unlisted", _write("\x1b[2Jconfig.json", "{}"), plain=False),
    Hostile("name with a newline", "base-file-unlisted", _write("config.json\n", "{}"), plain=False),
    Hostile("name in another case", "base-file-unlisted", _write("Config.JSON", "{}"), plain=False),
    Hostile("too many files", "base-folder-crowded", _crowd, plain=False),
    # code and templates in JSON
    Hostile("auto_map", "base-code-inside", _write("config.json", config(auto_map={"AutoModel": "modeling_bert.Evil"}))),
    Hostile("auto_map from another repository", "base-code-inside", _write("config.json", config(auto_map={"AutoModel": "evil/repo--m.E"}))),
    Hostile("auto_map deep inside", "base-code-inside", _write("config.json", config(task={"a": [{"b": {"auto_map": {}}}]}))),
    Hostile("auto_map in another case", "base-code-inside", _write("config.json", config(**{"Auto_Map ": {}}))),
    Hostile("auto_map by an escape", "base-code-inside", _write("config.json", json.dumps(config(XX={})).replace("XX", "\\u0061uto_map"))),
    Hostile("auto_map in the tokenizer's config", "base-code-inside", _write("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["t.E", None]}})),
    Hostile("auto_map in the tokenizer", "base-code-inside", _write("tokenizer.json", tokenizer(auto_map={}))),
    Hostile("auto_map in a companion", "base-code-inside", _write("generation_config.json", {"auto_map": {}})),
    Hostile("trust_remote_code", "base-code-inside", _write("config.json", config(trust_remote_code=True))),
    Hostile("trust_remote_code as a number", "base-code-inside", _write("config.json", config(trust_remote_code=1))),
    Hostile("custom_pipelines", "base-code-inside", _write("config.json", config(custom_pipelines={"x": {"impl": "p.E"}}))),
    Hostile("custom_generate", "base-code-inside", _write("config.json", config(custom_generate="evil/repo"))),
    Hostile("attention kernel from the hub", "base-code-inside", _write("config.json", config(_attn_implementation_internal="evil/kernel"))),
    Hostile("attention kernel, public key", "base-code-inside", _write("config.json", config(attn_implementation="evil/kernel@main"))),
    Hostile("attention kernel in a dictionary", "base-code-inside", _write("config.json", config(_attn_implementation={"": "evil/kernel"}))),
    Hostile("quantisation hook", "base-code-inside", _write("config.json", config(quantization_config={"quant_method": "x"}))),
    Hostile("object to be built", "base-code-inside", _write("config.json", config(x={"_target_": "os.system"}))),
    Hostile("chat template", "base-code-inside", _write("tokenizer_config.json", {"chat_template": "{% for i in range(9**9) %}x{% endfor %}"})),
    # JSON itself
    Hostile("empty config", "base-json-broken", _write("config.json", b"")),
    Hostile("binary config", "base-json-broken", _write("config.json", b"\x80\x04\x95" + PICKLE)),
    Hostile("not UTF-8", "base-json-broken", _write("config.json", b'{"model_type": "\xff"}')),
    Hostile("UTF-16", "base-json-broken", _write("config.json", json.dumps(config()).encode("utf-16"))),
    Hostile("a key twice", "base-json-broken", _write("config.json", '{"model_type": "bert", "model_type": "x"}')),
    Hostile("NaN", "base-json-broken", _write("config.json", '{"model_type": "bert", "x": NaN}')),
    Hostile("infinite number", "base-json-broken", _write("config.json", '{"model_type": "bert", "x": 1e999}')),
    Hostile("number of 5,000 digits", "base-json-broken", _write("config.json", '{"vocab_size": ' + "9" * 5000 + "}")),
    Hostile("two values", "base-json-broken", _write("config.json", "{} {}")),
    Hostile("nested 100 deep", "base-json-deep", _write("config.json", _nested(100))),
    Hostile("nested 100,000 deep", "base-json-deep", _write("config.json", _nested(100_000))),
    Hostile("six million values", "base-json-large", _write("tokenizer.json", "[" + "[]," * 3_000_000 + "[]]")),
    Hostile("config of 9 MB", "base-file-large", _write("config.json", " " * 9_000_000 + "{}"), plain=False),
    # config
    Hostile("config is a list", "base-config-broken", _write("config.json", [])),
    Hostile("no model type", "base-model-type", _write("config.json", config(model_type=None))),
    Hostile("unknown model type", "base-model-type", _write("config.json", config(model_type="evilformer"))),
    Hostile("model type is a list", "base-model-type", _write("config.json", config(model_type=["bert"]))),
    Hostile("no config", "base-file-missing", _drop("config.json"), plain=False),
    Hostile("no sizes", "base-config-broken", _write("config.json", {"model_type": "bert"})),
    Hostile("vocabulary of a trillion", "base-config-bounds", _write("config.json", config(vocab_size=10**12))),
    Hostile("a billion labels", "base-config-bounds", _write("config.json", config(num_labels=10**9))),
    Hostile("negative width", "base-config-bounds", _write("config.json", config(hidden_size=-8))),
    Hostile("width is true", "base-config-bounds", _write("config.json", config(hidden_size=True))),
    Hostile("width is text", "base-config-bounds", _write("config.json", config(hidden_size="8"))),
    Hostile("giant with tiny weights", "base-config-weights", _write("config.json", config(hidden_size=4096, num_hidden_layers=48))),
    Hostile("architecture with a path", "base-config-broken", _write("config.json", config(architectures=["../evil.Model"]))),
    Hostile("path out of the folder", "base-config-broken", _write("config.json", config(weights_file="../../etc/passwd"))),
    Hostile("tokenizer file outside", "base-config-broken", _write("tokenizer_config.json", {"vocab_file": "../../x"})),
    Hostile("tokenizer class with a path", "base-config-broken", _write("tokenizer_config.json", {"tokenizer_class": "evil.module.Class"})),
    # weights
    Hostile("no weights", "base-no-weights", _drop("model.safetensors"), plain=False),
    Hostile("pickled weights", "base-pickled-weights", _pickled("pytorch_model.bin"), plain=False),
    Hostile("pickled checkpoint", "base-pickled-weights", _pickled("model.ckpt"), plain=False),
    Hostile("pickle named safetensors", "base-weights-broken", _write("model.safetensors", PICKLE)),
    Hostile("empty weights", "base-weights-broken", _write("model.safetensors", b"")),
    Hostile("header longer than the file", "base-weights-broken", _weights(SOUND, length=10**6)),
    Hostile("header of 2**63", "base-weights-broken", _weights(SOUND, length=2**63)),
    Hostile("header is a list", "base-weights-broken", _weights(b"[]")),
    Hostile("header is broken JSON", "base-json-broken", _weights(b'{"a": ')),
    Hostile("header is nested deeply", "base-json-deep", _weights(b'{"a":' * 9000 + b"0" + b"}" * 9000)),
    Hostile("header names a tensor twice", "base-json-broken", _weights(b'{"a": 1, "a": 2}')),
    Hostile("no tensors", "base-weights-broken", _weights({}, data_bytes=0)),
    Hostile("unknown dtype", "base-weights-broken", _weights({"a": entry(0, 4000, dtype="OBJ")})),
    Hostile("offset outside", "base-weights-broken", _weights({"a": entry(0, 8000)})),
    Hostile("negative offset", "base-weights-broken", _weights({"a": entry(-4, 3996, shape=[1000])})),
    Hostile("offsets reversed", "base-weights-broken", _weights({"a": entry(4000, 0, shape=[0])})),
    Hostile("overlap", "base-weights-broken", _weights({"a": entry(0, 2400), "b": entry(2000, 4000)})),
    Hostile("hole", "base-weights-broken", _weights({"a": entry(0, 2000), "b": entry(2400, 4000)})),
    Hostile("hidden tail", "base-weights-broken", _weights({"a": entry(0, 2400)})),
    Hostile("shape that overflows", "base-weights-broken", _weights({"a": entry(0, 4000, shape=[2**62, 2**62])})),
    Hostile("shape of fractions", "base-weights-broken", _weights({"a": entry(0, 4000, shape=[1000.0])})),
    Hostile("shape of truths", "base-weights-broken", _weights({"a": entry(0, 4, shape=[True])}, data_bytes=4)),
    Hostile("more keys in a tensor", "base-weights-broken", _weights({"a": entry(0, 4000) | {"code": "x"}})),
    Hostile("metadata with objects", "base-weights-broken", _weights(SOUND | {"__metadata__": {"a": {}}})),
    Hostile("tensor name with an escape", "base-weights-broken", _weights({"\x1b[2J": entry(0, 4000)})),
    Hostile("whole and sharded", "base-weights-ambiguous", _write(_ONE, header(SOUND, data_bytes=4000))),
    Hostile("shards without an index", "base-weights-index", _shards(None, _ONE), plain=False),
    Hostile("shard outside", "base-weights-index", _shards({"weight_map": {"a": "../evil.safetensors"}}, _ONE)),
    Hostile("shard by an absolute path", "base-weights-index", _shards({"weight_map": {"a": "/etc/passwd"}}, _ONE)),
    Hostile("shard is a pickle", "base-weights-index", _shards({"weight_map": {"a": "pytorch_model.bin"}}, _ONE)),
    Hostile("shard missing", "base-weights-index", _shards({"weight_map": {"a": _ONE, "b": _TWO}}, _ONE)),
    Hostile("tensor in two shards", "base-weights-index", _shards({"weight_map": {"a": _ONE, "b": _TWO}}, _ONE, _TWO)),
    Hostile("index is a list", "base-weights-index", _shards([], _ONE)),
    # tokenizer
    Hostile("no tokenizer", "base-no-tokenizer", _drop("tokenizer.json"), plain=False),
    Hostile("tokenizer is a list", "base-tokenizer-broken", _write("tokenizer.json", [])),
    Hostile("tokenizer without a model", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(model=None))),
    Hostile("unknown tokenizer model", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(model=word_piece(type="Python")))),
    Hostile("tokenizer the library refuses", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(pre_tokenizer={"type": "Evil"}))),
    Hostile("token ids beyond the model", "base-tokenizer-mismatch", _write("tokenizer.json", tokenizer(model=word_piece(vocab={"[UNK]": 10**9})))),
    Hostile("negative token ids", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(model=word_piece(vocab={"[UNK]": -1})))),
    Hostile("token ids of text", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(model=word_piece(vocab={"[UNK]": "0"})))),
    Hostile("empty added token", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(added_tokens=[{"id": 0, "content": ""}]))),
    Hostile("thirty doublings", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(normalizer=_growing(30)))),
    Hostile("random merges", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(model=word_piece(dropout=0.5)))),
    Hostile("padding to a trillion", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(padding={"strategy": {"Fixed": 10**12}}))),
    Hostile("words of a billion", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(model=word_piece(max_input_chars_per_word=10**9)))),
    Hostile("regular expression that is none", "base-tokenizer-broken", _write("tokenizer.json", tokenizer(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False}))),
)  # fmt: skip


def make_wheel(
    folder: Path,
    wheel: Path,
    *,
    home: str = "a_model/model",
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Pack a folder's regular files as a package would, with the code and metadata a package has."""
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a_model/__init__.py", EVIL)
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.is_symlink():
                archive.write(path, f"{home}/{path.name}")
        info = "a_model-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: a-model\nVersion: 1.0\nLicense: MIT\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "")
    return wheel
