"""Runs that go to a store rather than to a directory."""

import pytest

from kvlens._session import Session, is_url, options_from_environment


def test_a_url_stays_a_url(tmp_path, monkeypatch):
    monkeypatch.setenv("KVLENS_OUT", "s3://bucket/prefix")
    monkeypatch.setenv("KVLENS_SPOOL", str(tmp_path))
    found = options_from_environment()
    assert (found["out"], found["spool"]) == ("s3://bucket/prefix", str(tmp_path))
    assert is_url(found["out"]) and not is_url(str(tmp_path))


def test_a_directory_in_a_store_of_files(tmp_path):
    """``file://`` needs no server; a library without the feature says which one is missing."""
    url = (tmp_path / "store").as_uri()
    try:
        session = Session(url, run_id="r", spool=str(tmp_path / "spool"))
    except Exception as error:
        assert "feature `store`" in str(error)
        pytest.skip("the library is built without the feature `store`")
    assert session.path == f"{url}/run_id=r"
    session.close()
    assert (tmp_path / "store" / "run_id=r" / "run.json").is_file()
    assert not (tmp_path / "spool" / "run_id=r").exists()
