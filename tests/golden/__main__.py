"""Write the bytes that are missing."""

from __future__ import annotations

from events.catalogue import TOPICS
from events.codec import Codec, from_record
from events.registry import FolderRegistry
from tests.golden import FOLDER, names, values_of

codec = Codec(FolderRegistry())
for topic in TOPICS.values():
    newest = FolderRegistry().newest(topic)[1]
    name = f"{topic.folder}.v{newest.version}"
    target = FOLDER / f"{name}.hex"
    if name in names() and not target.exists():
        raw = codec.encode(from_record(topic, values_of(name))).hex()
        target.write_text("\n".join(raw[at : at + 96] for at in range(0, len(raw), 96)) + "\n")
