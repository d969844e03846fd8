"""Which worker gets which partitions: partition p of every topic goes to the same one, so that a slot has one owner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class CopartitionedAssignor(AbstractPartitionAssignor):
    """Partition p goes to member p modulo their number, in the order of their ids."""

    name = "interlock-copartitioned"
    version = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """What each member gets."""
        ordered = sorted(members)
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        given: dict[str, dict[str, list[int]]] = {member: {} for member in ordered}
        for topic in topics:
            for partition in sorted(cluster.partitions_for_topic(topic) or ()):
                given[ordered[partition % len(ordered)]].setdefault(topic, []).append(partition)
        return {
            member: ConsumerProtocolMemberAssignment(cls.version, sorted(shares.items()), b"")
            for member, shares in given.items()
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What a member says of itself when it joins."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Nothing is kept between generations."""
