"""The configuration of plain repo2docker exists where the peer reads it."""

from bench.peers.plain_repo2docker import CONFIG


def test_the_configuration_builds_on_ours() -> None:
    assert "BENCH_OUR_CONFIG" in CONFIG.read_text()
