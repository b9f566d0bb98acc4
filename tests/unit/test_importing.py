"""Reading exports: what is taken over, what is left out, and what bad files get."""

from __future__ import annotations

import datetime as dt
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from keepwell.errors import ImportFormatError
from keepwell.importing import ImportedThread, detect, jsonl, read, stream
from keepwell.models import MediaPart, Message, TextPart

UNDATED = dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
START = 1_741_000_000.0


def said(role: str, *parts: Any, kind: str = "text", at: float | None = START, **more: Any) -> dict[str, Any]:
    """Give a message as ChatGPT exports it."""
    content = {"content_type": kind, "parts": list(parts)}
    return {"author": {"role": role}, "content": content, "create_time": at, "recipient": "all", **more}


def tree(*messages: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Give a ChatGPT conversation in which these messages follow each other."""
    mapping: dict[str, Any] = {}
    for number, message in enumerate(messages):
        parent = f"n{number - 1}" if number else None
        body = {**message, "id": f"n{number}"} if message else None
        mapping[f"n{number}"] = {"id": f"n{number}", "parent": parent, "children": [], "message": body}
    base = {"conversation_id": "c-1", "title": "Tea", "create_time": START, "current_node": f"n{len(messages) - 1}"}
    return {**base, "mapping": mapping, **more}


def turn(uuid: str, sender: str, text: str, **more: Any) -> dict[str, Any]:
    """Give a message as Claude exports it."""
    content = [{"type": "text", "text": text}] if text else []
    base = {"uuid": uuid, "sender": sender, "text": text, "content": content, "created_at": "2025-03-02T10:00:00Z"}
    return {**base, "attachments": [], "files": [], **more}


def talk(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Give a Claude conversation."""
    base = {"uuid": "k-1", "name": "Tea", "created_at": "2025-03-02T09:59:00Z", "updated_at": "2025-03-03T00:00:00Z"}
    return {**base, "chat_messages": list(messages), **more}


def written(folder: Path, value: object, name: str = "conversations.json") -> Path:
    """Write a value, or text as it is, and give the path."""
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def only(path: Path) -> ImportedThread:
    """Give the one thread of a file."""
    (thread,) = read(path)
    return thread


def texts(thread: ImportedThread) -> list[str]:
    """Give what was said, in order."""
    return [message.text for message in thread.messages]


# ChatGPT


def test_chatgpt_gives_what_was_said_with_roles_ids_and_times(tmp_path: Path) -> None:
    """A conversation comes with its id and title, its messages with node ids, roles and times in order."""
    export = [tree(None, said("user", "Tea?"), said("assistant", "Yes.", at=START + 5, metadata={"model_slug": "m"}))]
    thread = only(written(tmp_path, export))
    assert (thread.id, thread.title, thread.metadata["source"]) == ("c-1", "Tea", "chatgpt")
    assert [(m.id, m.role, m.text) for m in thread.messages] == [("n1", "user", "Tea?"), ("n2", "assistant", "Yes.")]
    assert thread.messages[1].created_at == dt.datetime.fromtimestamp(START + 5, dt.UTC)
    assert thread.messages[1].metadata == {"model": "m"}
    assert thread.left_out == {}


def test_chatgpt_follows_the_branch_that_was_open(tmp_path: Path) -> None:
    """An answer that was regenerated is left out and counted; the one seen last is kept."""
    export = tree(said("user", "Tea?"), said("assistant", "No."))
    export["mapping"]["n9"] = {"id": "n9", "parent": "n0", "children": [], "message": said("assistant", "Yes.")}
    export["current_node"] = "n9"
    thread = only(written(tmp_path, [export]))
    assert texts(thread) == ["Tea?", "Yes."]
    assert thread.left_out == {"branch": 1}


@pytest.mark.parametrize("tip", [None, "gone"])
def test_chatgpt_without_a_tip_takes_the_newest_branch(tmp_path: Path, tip: str | None) -> None:
    """Where the export names no tip, or one that is not there, the leaf written last is it."""
    export = tree(said("user", "Tea?"), said("assistant", "New.", at=START + 9), current_node=tip)
    export["mapping"]["n9"] = {"id": "n9", "parent": "n0", "children": [], "message": said("assistant", "Old.")}
    assert texts(only(written(tmp_path, [export]))) == ["Tea?", "New."]


def test_chatgpt_survives_a_loop_in_the_tree(tmp_path: Path) -> None:
    """Nodes that are each other's parents are read once."""
    export = tree(said("user", "Tea?"), said("assistant", "Yes."))
    export["mapping"]["n0"]["parent"] = "n1"
    assert texts(only(written(tmp_path, [export]))) == ["Tea?", "Yes."]


def test_chatgpt_leaves_out_what_the_person_did_not_see(tmp_path: Path) -> None:
    """Hidden messages, instructions, tools and reasoning are no messages here, and are counted."""
    export = tree(
        said("system", ""),
        said("user", "About me", kind="user_editable_context"),
        said("user", "hidden", metadata={"is_visually_hidden_from_conversation": True}),
        said("user", "Tea?"),
        said("assistant", "thinking", kind="thoughts"),
        said("assistant", "search(tea)", kind="code", recipient="web"),
        said("tool", "a page", kind="tether_quote"),
        said("assistant", ""),
        said("assistant", "Yes."),
    )
    thread = only(written(tmp_path, [export]))
    assert texts(thread) == ["Tea?", "Yes."]
    assert thread.left_out == {"system": 2, "hidden": 1, "reasoning": 1, "tool": 2, "empty": 1}


def test_chatgpt_names_pictures_by_their_asset(tmp_path: Path) -> None:
    """A picture becomes a part with its file id; the attachment of the same file is not doubled."""
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-A", "width": 8}
    files = [{"id": "file-A", "name": "a.png"}, {"id": "file-B", "name": "b.pdf", "mime_type": "application/pdf"}]
    export = tree(said("user", picture, "What is it?", kind="multimodal_text", metadata={"attachments": files}))
    first, second, third = only(written(tmp_path, [export])).messages[0].parts
    assert isinstance(first, MediaPart)
    assert (first.type, first.file_id) == ("image", "file-A")
    assert first.extras == {"asset_pointer": "file-service://file-A", "width": 8}
    assert second == TextPart(text="What is it?")
    assert isinstance(third, MediaPart)
    assert (third.type, third.file_id, third.name) == ("file", "file-B", "b.pdf")


def test_chatgpt_shows_a_made_picture_as_the_answer(tmp_path: Path) -> None:
    """A picture that a tool made is the assistant's, with the words it was made from."""
    made = {"dalle": {"prompt": "a teapot"}}
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "sediment://file_1", "metadata": made}
    (message,) = only(written(tmp_path, [tree(said("tool", picture, kind="multimodal_text"))])).messages
    (part,) = message.parts
    assert message.role == "assistant"
    assert isinstance(part, MediaPart)
    assert (part.file_id, part.extras["prompt"]) == ("file_1", "a teapot")


def test_chatgpt_keeps_what_was_spoken(tmp_path: Path) -> None:
    """The transcript of a voice message is its text, and the sound is named."""
    words = {"content_type": "audio_transcription", "text": "Tea, please."}
    sound = {"content_type": "audio_asset_pointer", "asset_pointer": "sediment://file_2"}
    live = {"content_type": "real_time_user_audio_video_asset_pointer", "audio_asset_pointer": sound}
    (message,) = only(written(tmp_path, [tree(said("user", words, live, kind="multimodal_text"))])).messages
    assert message.text == "Tea, please."
    assert [part.type for part in message.parts] == ["text", "audio"]


def test_chatgpt_counts_parts_of_an_unknown_kind(tmp_path: Path) -> None:
    """A part that is not known is counted, and the words beside it are kept."""
    thread = only(written(tmp_path, [tree(said("user", "Look", {"content_type": "hologram"}, kind="multimodal_text"))]))
    assert (texts(thread), thread.left_out) == (["Look"], {"other": 1})


def test_chatgpt_keeps_code_that_was_an_answer(tmp_path: Path) -> None:
    """Code that was said to the person is text."""
    answer = {"author": {"role": "assistant"}, "content": {"content_type": "code", "text": "print(1)"}}
    assert texts(only(written(tmp_path, [tree(said("user", "Code?"), answer)]))) == ["Code?", "print(1)"]


def test_chatgpt_messages_without_a_time_take_the_one_before(tmp_path: Path) -> None:
    """A missing time is that of the message before, at first the conversation's: the same on every import."""
    export = tree(said("user", "a", at=None), said("assistant", "b", at=START + 7), said("user", "c", at=None))
    times = [message.created_at.timestamp() for message in only(written(tmp_path, [export])).messages]
    assert times == [START, START + 7, START + 7]


# Claude


def test_claude_gives_what_was_said_with_roles_ids_and_times(tmp_path: Path) -> None:
    """A conversation comes with its uuid and name, its messages with uuids, roles and times in order."""
    export = [talk(turn("u1", "human", "Tea?"), turn("u2", "assistant", "Yes.", created_at="2025-03-02T10:00:05Z"))]
    thread = only(written(tmp_path, export))
    assert (thread.id, thread.title, thread.metadata["source"]) == ("k-1", "Tea", "claude")
    assert [(m.id, m.role, m.text) for m in thread.messages] == [("u1", "user", "Tea?"), ("u2", "assistant", "Yes.")]
    assert thread.messages[1].created_at == dt.datetime(2025, 3, 2, 10, 0, 5, tzinfo=dt.UTC)


def test_claude_takes_the_blocks_and_not_the_summary_text(tmp_path: Path) -> None:
    """Texts come from the blocks; reasoning and tools are counted; the device notice in `text` is not taken."""
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "name": "web_search", "input": {"query": "tea"}},
        {"type": "tool_result", "content": [{"type": "text", "text": "a page"}]},
        {"type": "text", "text": "Yes.", "citations": [{"uuid": "z"}]},
        {"type": "hologram"},
    ]
    notice = "Let me look.\n```\nThis block is not supported on your current device yet.\n```\nYes."
    thread = only(written(tmp_path, [talk(turn("u1", "assistant", notice, content=blocks))]))
    assert texts(thread) == ["Let me look.\nYes."]
    assert thread.messages[0].parts[1] == TextPart(text="Yes.", extras={"citations": [{"uuid": "z"}]})
    assert thread.left_out == {"reasoning": 1, "tool": 2, "other": 1}


def test_claude_exports_of_before_the_blocks_are_read(tmp_path: Path) -> None:
    """Where there are no blocks, the text is what was said."""
    old = turn("u1", "human", "Tea?")
    del old["content"]
    assert texts(only(written(tmp_path, [talk(old)]))) == ["Tea?"]


def test_claude_follows_the_newest_branch(tmp_path: Path) -> None:
    """A question that was edited away is left out with its answer, and counted."""
    root = "00000000-0000-4000-8000-000000000000"
    export = talk(
        turn("u1", "human", "Coffee?", parent_message_uuid=root),
        turn("u2", "assistant", "No.", parent_message_uuid="u1", created_at="2025-03-02T10:01:00Z"),
        turn("u3", "human", "Tea?", parent_message_uuid=root, created_at="2025-03-02T10:02:00Z"),
        turn("u4", "assistant", "Yes.", parent_message_uuid="u3", created_at="2025-03-02T10:03:00Z"),
    )
    thread = only(written(tmp_path, [export]))
    assert (texts(thread), thread.left_out) == (["Tea?", "Yes."], {"branch": 2})
    named = only(written(tmp_path, [{**export, "current_leaf_message_uuid": "u2"}]))
    assert texts(named) == ["Coffee?", "No."]


def test_claude_keeps_everything_where_a_link_is_missing(tmp_path: Path) -> None:
    """A chain that does not reach the beginning loses no message."""
    export = talk(
        turn("u1", "human", "Tea?", parent_message_uuid="00000000-0000-4000-8000-000000000000"),
        turn("u2", "assistant", "Yes.", parent_message_uuid="lost"),
    )
    assert texts(only(written(tmp_path, [export]))) == ["Tea?", "Yes."]


def test_claude_attachments_bring_their_text(tmp_path: Path) -> None:
    """A file is a part with its name, and what was read from it, such as a long paste, is text."""
    paste = {"file_name": "", "file_type": "txt", "extracted_content": "a long paste"}
    letter = {"file_name": "letter.txt", "file_type": "txt", "file_size": 9, "extracted_content": "Dear you"}
    files = [{"file_name": "letter.txt"}, {"file_name": "cup.png", "file_uuid": "f-1", "file_kind": "image"}]
    export = talk(turn("u1", "human", "Look", attachments=[paste, letter], files=files))
    (message,) = only(written(tmp_path, [export])).messages
    assert message.text == "Look\na long paste\nDear you"
    media = [part for part in message.parts if isinstance(part, MediaPart)]
    assert [(part.name, part.file_id) for part in media] == [("letter.txt", None), ("cup.png", "f-1")]


@pytest.mark.parametrize("missing", ["uuid", "sender"])
def test_claude_messages_need_an_id_and_a_sender(tmp_path: Path, missing: str) -> None:
    """A message without either is an error that names the conversation and the message."""
    broken = turn("u1", "human", "Tea?")
    del broken[missing]
    with pytest.raises(ImportFormatError, match=r"conversation 1 \('Tea'\), message 1.*`uuid` and a `sender`"):
        only(written(tmp_path, [talk(broken)]))


# JSONL


def test_jsonl_needs_only_a_text(tmp_path: Path) -> None:
    """A line with a text alone is a user's message in a thread named after the file, dated as the file is."""
    path = written(tmp_path, '{"text": "Tea?"}\n\n{"content": "Yes."}\n', "kitchen.jsonl")
    os.utime(path, (START, START))
    thread = only(path)
    assert (thread.id, texts(thread)) == ("kitchen", ["Tea?", "Yes."])
    assert {message.role for message in thread.messages} == {"user"}
    assert {message.created_at.timestamp() for message in thread.messages} == {START}


def test_jsonl_keeps_every_field(tmp_path: Path) -> None:
    """Id, role, name, time, zone and metadata are taken over; fields that are not known go to the metadata."""
    line = {"thread": "t", "id": 7, "role": "assistant", "name": "Zoë", "text": "Hi 🐢", "mood": "good"}
    line |= {"created_at": "2025-03-02T19:04:00+01:00", "metadata": {"mood": "best", "n": 1}}
    thread = only(written(tmp_path, json.dumps(line), "a.jsonl"))
    (message,) = thread.messages
    assert (thread.id, message.id, message.role, message.name) == ("t", "7", "assistant", "Zoë")
    assert message.created_at == dt.datetime(2025, 3, 2, 18, 4, tzinfo=dt.UTC)
    assert message.metadata == {"mood": "best", "n": 1}


def test_jsonl_ids_are_the_same_on_every_import(tmp_path: Path) -> None:
    """Ids that were not given do not change when lines are added, and equal lines have different ones."""
    lines = ['{"text": "Tea?"}', '{"text": "Tea?"}', '{"thread": "x", "text": "Tea?"}']
    first = [m.id for thread in read(written(tmp_path, "\n".join(lines), "a.jsonl")) for m in thread.messages]
    more = [*lines, '{"text": "Yes."}']
    again = [m.id for thread in read(written(tmp_path, "\n".join(more), "a.jsonl")) for m in thread.messages]
    assert len(set(first)) == 3
    assert set(first) < set(again)


def test_jsonl_threads_may_be_mixed(tmp_path: Path) -> None:
    """Lines of two threads that take turns come as two threads, each in its own order."""
    lines = "\n".join(json.dumps({"thread": "ab"[n % 2], "text": str(n)}) for n in range(6))
    assert {t.id: texts(t) for t in read(written(tmp_path, lines, "a.jsonl"))} == {
        "a": ["0", "2", "4"],
        "b": ["1", "3", "5"],
    }


def test_jsonl_of_any_length_is_read_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread longer than the window comes in several pieces, in order, without reading ahead."""
    monkeypatch.setattr(jsonl, "WINDOW_LINES", 10)
    taken: list[int] = []

    def lines() -> Any:
        for number in range(25):
            taken.append(number)
            yield json.dumps({"text": str(number)})

    pieces = jsonl.threads(lines(), file="a", thread="a", undated=UNDATED)
    first = next(pieces)
    assert len(taken) == 10
    rest = list(pieces)
    assert [len(first.messages), *(len(piece.messages) for piece in rest)] == [10, 10, 5]
    assert [text for piece in [first, *rest] for text in texts(piece)] == [str(n) for n in range(25)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{broken", "not valid JSON"),
        ("[1]", "must be an object"),
        ('{"name": "Mara"}', "no `text`"),
        ('{"text": 5}', "`text` must be text, not int"),
        ('{"text": "a", "created_at": "yesterday"}', "'yesterday' is no time"),
        ('{"text": "a", "created_at": 1e300}', "is no time"),
        ('{"text": "a", "created_at": NaN}', "is no time"),
        ('{"text": "a", "created_at": "0001-01-01T00:00:00+14:00"}', "out of range"),
        ('{"text": "a", "id": ""}', "message id is empty"),
        ('{"text": "a", "id": "x\\u0000"}', "NUL"),
        ('{"text": "a", "metadata": 3}', "`metadata` must be an object"),
        ('{"text": "a", "thread": ""}', "thread is empty"),
        ('{"text": "a", "role": ""}', "role"),
        pytest.param("[" * 200_000, "nested too deeply", id="deep"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, why: str) -> None:
    """A line that is wrong is an error with its number and the reason."""
    path = written(tmp_path, f'{{"text": "good"}}\n{line}\n', "a.jsonl")
    with pytest.raises(ImportFormatError, match=rf"a\.jsonl, line 2.*({why})"):
        list(read(path))


def test_a_bad_line_can_be_left_out(tmp_path: Path) -> None:
    """With `on_broken` the rest is read, the error is handed over, and the ids of later lines stay."""
    good = written(tmp_path, '{"text": "a"}\n{"text": "b"}\n{"text": "c"}', "a.jsonl")
    ids = [message.id for message in only(good).messages]
    errors: list[ImportFormatError] = []
    (thread,) = read(written(tmp_path, '{"text": "a"}\n{"text": 5}\n{"text": "c"}', "a.jsonl"), on_broken=errors.append)
    assert [message.id for message in thread.messages] == [ids[0], ids[2]]
    assert ["line 2" in str(error) for error in errors] == [True]


# Finding out what a file is, and opening it


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([tree(said("user", "Tea?"))], "chatgpt"),
        (tree(said("user", "Tea?")), "chatgpt"),
        ({"conversations": [tree(said("user", "Tea?"))]}, "chatgpt"),
        (json.dumps([talk(turn("u", "human", "Tea?"))], indent=2), "claude"),
        ("\ufeff" + json.dumps([talk(turn("u", "human", "Tea?"))]), "claude"),
        ('\n{"text": "Tea?"}\n{"text": "Yes."}', "jsonl"),
    ],
)
def test_the_format_is_found_out(tmp_path: Path, content: object, expected: str) -> None:
    """Exports and JSONL are told apart by what is in them, whatever the file is called, and then read."""
    path = written(tmp_path, content, "download.dat")
    assert detect(path) == expected
    assert next(read(path)).messages[0].text == "Tea?"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "empty"),
        ("[]", "format is not known"),
        ("[1, 2]", "format is not known"),
        ('{"a": 1}', "format is not known"),
        ("hello", "not JSON"),
        ('[{"mapping": {', "not valid JSON"),
    ],
)
def test_a_file_of_no_known_format_is_refused_at_once(tmp_path: Path, content: str, why: str) -> None:
    """The error comes with the call, names the file, and says why."""
    path = written(tmp_path, content, "odd.json")
    with pytest.raises(ImportFormatError, match=rf"odd\.json.*{why}"):
        read(path)


def test_a_file_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    """A wrong path names the path and the reason."""
    with pytest.raises(ImportFormatError, match=r"nowhere\.json cannot be read: No such file"):
        detect(tmp_path / "nowhere.json")


def test_a_file_that_is_not_utf8_is_an_error_of_ours(tmp_path: Path) -> None:
    """Another encoding is named as such."""
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"text": "Zoë"}'.encode("latin-1"))
    with pytest.raises(ImportFormatError, match=r"latin\.jsonl: not UTF-8"):
        list(read(path, "jsonl"))


def test_an_unknown_format_name_is_refused(tmp_path: Path) -> None:
    """A format that does not exist is an error that lists those that do."""
    path = written(tmp_path, '{"text": "a"}', "a.jsonl")
    with pytest.raises(ImportFormatError, match="known are chatgpt, claude, jsonl"):
        read(path, "whatsapp")  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("format_", ["chatgpt", "claude"])
def test_the_wrong_format_says_which_conversation(tmp_path: Path, format_: Any) -> None:
    """Reading something else as an export names the conversation and what is missing in it."""
    path = written(tmp_path, '[{"title": "x"}]')
    with pytest.raises(ImportFormatError, match=r"conversations\.json, conversation 1: it has no `"):
        list(read(path, format_))


def test_a_broken_conversation_can_be_left_out(tmp_path: Path) -> None:
    """With `on_broken` the other conversations are read and the error is handed over."""
    good = tree(said("user", "Tea?"))
    errors: list[ImportFormatError] = []
    threads = list(read(written(tmp_path, [good, {"title": "x"}, {**good, "id": "c-2"}]), on_broken=errors.append))
    assert len(threads) == 2
    assert ["conversation 2" in str(error) for error in errors] == [True]


def test_a_zip_is_read_as_it_was_downloaded(tmp_path: Path) -> None:
    """All parts of a large export are read in order, other files in the zip are not, and progress reaches 1."""
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/conversations-001.json", json.dumps([tree(said("user", "b"), conversation_id="2")]))
        archive.writestr("export/conversations-000.json", json.dumps([tree(said("user", "a"), conversation_id="1")]))
        archive.writestr("export/shared_conversations.json", '[{"id": "x"}]')
        archive.writestr("__MACOSX/export/conversations-000.json", "junk")
    threads = list(read(path))
    assert detect(path) == "chatgpt"
    assert [thread.id for thread in threads] == ["1", "2"]
    assert [round(thread.progress, 1) for thread in threads] == [0.5, 1.0]


def test_a_folder_is_read_as_it_was_unpacked(tmp_path: Path) -> None:
    """The folder of an export gives the same as its conversations.json."""
    path = written(tmp_path, [talk(turn("u", "human", "Tea?"))])
    written(tmp_path, "[]", "users.json")
    assert list(read(tmp_path)) == list(read(path))


def test_a_zip_or_folder_without_conversations_says_so(tmp_path: Path) -> None:
    """An archive of something else is an error that says what was looked for."""
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"")
    with pytest.raises(ImportFormatError, match=r"photos\.zip: there is no conversations\.json"):
        detect(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportFormatError, match=r"empty: there is no conversations\.json"):
        detect(tmp_path / "empty")


def test_a_damaged_zip_is_an_error_of_ours(tmp_path: Path) -> None:
    """A zip whose content was changed on the way is named as damaged."""
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conversations.json", json.dumps([tree(said("user", "Tea?"))]))
    path.write_bytes(path.read_bytes().replace(b"Tea?", b"Eat!"))
    with pytest.raises(ImportFormatError, match="damaged"):
        list(read(path))


@pytest.mark.parametrize("characters", [1, 7, 64])
def test_where_the_window_is_cut_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    """Numbers, escapes and half emoji are the same wherever the pieces of the file end."""
    odd = 'x\ud83d y\u2028 \\ " 🐢 \x00 -1.5e-7'
    export = [tree(said("user", odd, at=START + n), conversation_id=f"c-{n}") for n in range(3)]
    path = written(tmp_path, json.dumps(export, indent=1))
    whole = list(read(path))
    monkeypatch.setattr(stream, "CHUNK_CHARACTERS", characters)
    assert [texts(thread) for thread in whole] == [[odd]] * 3
    assert [thread.messages for thread in read(path)] == [thread.messages for thread in whole]


def test_a_large_export_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the first conversation of many reads only the beginning of the file."""
    monkeypatch.setattr(stream, "CHUNK_CHARACTERS", 10_000)
    path = written(tmp_path, [tree(said("user", "word " * 1_000), conversation_id=str(n)) for n in range(200)])
    first = next(read(path))
    assert first.progress < 0.1


def test_a_mistake_in_a_large_export_is_found_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before the mistake is read, and the rest of the file is not searched for an end."""
    monkeypatch.setattr(stream, "CHUNK_CHARACTERS", 1_000)
    good = json.dumps(tree(said("user", "word " * 100)))
    path = written(tmp_path, f"[{good},{good},{{oops}},{','.join([good] * 100)}]")
    threads = read(path)
    assert [next(threads).id, next(threads).id] == ["c-1", "c-1"]
    with pytest.raises(ImportFormatError, match=r"conversations\.json: not valid JSON before byte (\d+)") as caught:
        next(threads)
    assert int(str(caught.value).split("byte ")[1].split(":")[0]) < path.stat().st_size / 4


@pytest.mark.parametrize("export", [[tree(said("user", "Tea?", at=None))], [talk(turn("u", "human", "Tea?"))]])
def test_importing_twice_gives_the_same(tmp_path: Path, export: list[Any]) -> None:
    """The same file gives equal messages, ids and times included, so that a second import changes nothing."""
    path = written(tmp_path, export)
    first: tuple[Message, ...] = only(path).messages
    assert first == only(path).messages
