import zipfile
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farm.adapters.blob_names import BadName
from farm.adapters.packs import BadPack, PackTooLarge, decode_npy, encode_npy, pack, unpack

MEMBERS = {"b/000002.png": b"two", "a.npy": b"", "c.json": b"{}" * 500}


def zipped(fill: Callable[[zipfile.ZipFile], object]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        fill(archive)
    return out.getvalue()


def test_members_come_back_in_their_order() -> None:
    assert list(unpack(pack(MEMBERS)).items()) == list(MEMBERS.items())


def test_the_same_members_make_the_same_bytes() -> None:
    assert pack(MEMBERS) == pack(dict(MEMBERS))


def test_any_zip_tool_can_look_into_a_pack() -> None:
    with zipfile.ZipFile(BytesIO(pack(MEMBERS))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(MEMBERS)


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "", "a\\b", "a\nb"])
def test_a_member_cannot_lead_outside(name: str) -> None:
    with pytest.raises(BadName):
        pack({name: b""})
    with pytest.raises(BadPack):
        unpack(zipped(lambda archive: archive.writestr(zipfile.ZipInfo(name), b"x")))


def test_members_larger_than_the_limit_are_refused_unread() -> None:
    with pytest.raises(PackTooLarge, match="1,003 bytes; at most 1,002"):
        unpack(pack(MEMBERS), max_bytes=1002)


def test_a_compressed_member_is_refused() -> None:
    data = zipped(lambda archive: archive.writestr("a", bytes(9999), zipfile.ZIP_DEFLATED))
    with pytest.raises(BadPack, match="compressed"):
        unpack(data)


def test_a_name_that_is_there_twice_is_refused() -> None:
    def twice(archive: zipfile.ZipFile) -> None:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")

    with pytest.raises(BadPack, match="twice"):
        unpack(zipped(twice))


@given(at=st.integers(0), value=st.integers(0, 255))
@example(at=250073, value=0)  # the directory's count of members
def test_a_damaged_byte_is_noticed_or_harmless(at: int, value: int) -> None:
    data = bytearray(pack({"a": b"some pixels"}))
    data[at % len(data)] = value
    try:
        members = unpack(bytes(data))
    except (BadPack, PackTooLarge):
        return
    assert list(members.values()) == [b"some pixels"]


def test_arrays_come_back_with_shape_and_type() -> None:
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    assert np.array_equal(decode_npy(encode_npy(array)), array)


def test_pickled_objects_are_never_read() -> None:
    out = BytesIO()
    np.save(out, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadPack, match="damaged"):
        decode_npy(out.getvalue())
