"""The jars of Apache Kafka, by Maven coordinates, resolved once per machine and version."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .errors import MissingProgramError
from .lock import FolderLock
from .process import Child, Launch

KAFKA_VERSION = "4.1.0"
RESOLVE_WITHIN_S = 600.0
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>interlock</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/interlock`, outside of any repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interlock"


async def kafka_jars() -> Path:
    """Folder of the jars. One process fills it, the others wait; it appears complete or not at all."""
    jars = cache_folder() / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    lock = FolderLock(jars.with_name(f"{jars.name}.lock"))
    await lock.acquire(RESOLVE_WITHIN_S)
    try:
        if not jars.is_dir():
            await _resolve(jars)
    finally:
        lock.release()
    return jars


async def _resolve(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingProgramError("Apache Kafka's jars come by Maven: install `mvn`, or put it on the path")
    unfinished = jars.with_name(f"{jars.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    pom = unfinished / "pom.xml"
    pom.write_text(_POM)
    argv = [maven, "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies"]
    argv += [f"-DoutputDirectory={unfinished}", "-DincludeScope=runtime"]
    child = await Child.spawn("mvn", Launch(argv), jars.with_name(f"{jars.name}.log"))
    try:
        await child.finish(RESOLVE_WITHIN_S)
    finally:
        await child.kill()
    unfinished.rename(jars)
