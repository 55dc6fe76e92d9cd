"""The wire format of protobuf, read without its library and without trust.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from .errors import EngineError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, int]
"""Wire type, then the value and 0, or the offset of the first byte and that of the end."""
Fields = dict[int, list[Field]]


class ProtoReader:
    """Reads messages field by field; a message is given by its first byte's offset and its end.

    Args:
        data: All bytes; borrowed.
        place: What they are, for messages.
        max_fields: Fields that may be read in all; bounds the time.
    """

    def __init__(self, data: bytes | memoryview, place: str, max_fields: int) -> None:
        self.data = memoryview(data).toreadonly().cast("B")
        self.fields_read = 0
        self._place = place
        self._max_fields = max_fields

    def error(self, message: str) -> EngineError:
        """Makes the error that says what is wrong, and where."""
        return EngineError(f"{self._place}: {message}")

    def read(self, start: int, end: int, what: str, known: frozenset[int] | None = None) -> Fields:
        """Reads one message's fields, without looking into them."""
        found: Fields = {}
        while start < end:
            self.fields_read += 1
            if self.fields_read > self._max_fields:
                raise self.error(f"more than {self._max_fields} protobuf fields")
            key, start = self.varint(start, end)
            number, wire = key >> 3, key & 7
            if known is not None and number not in known:
                raise self.error(f"{what}: unknown field {number}")
            if wire == VARINT:
                value, start = self.varint(start, end)
                found.setdefault(number, []).append((wire, value, 0))
                continue
            if wire == BYTES:
                size, start = self.varint(start, end)
            elif wire in (FIXED32, FIXED64):
                size = 4 if wire == FIXED32 else 8
            else:
                raise self.error(f"{what}: not protobuf (wire type {wire})")
            if size > end - start:
                raise self.error(f"{what}: a field of {size} bytes where {end - start} are left")
            found.setdefault(number, []).append((wire, start, start + size))
            start += size
        return found

    def varint(self, start: int, end: int) -> tuple[int, int]:
        """Reads a number of up to 70 bits; gives it and the offset behind it."""
        value = shift = 0
        while start < end and shift < 70:
            byte = self.data[start]
            start += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, start
            shift += 7
        raise self.error("not protobuf (a number without an end)")

    def spans(self, fields: Fields, number: int, what: str) -> list[tuple[int, int]]:
        """Gives first byte and end of each of a field's messages or strings."""
        values = fields.get(number, [])
        if any(wire != BYTES for wire, _, _ in values):
            raise self.error(f"{what}: not protobuf of ONNX (wire type)")
        return [(start, end) for _, start, end in values]

    def span(self, fields: Fields, number: int, what: str) -> tuple[int, int] | None:
        """Gives first byte and end of a field that may stand once; None: it is not there."""
        spans = self.spans(fields, number, what)
        if len(spans) > 1:
            # Protobuf would merge them, or take the last: one reading for all readers is safer.
            raise self.error(f"{what} stands {len(spans)} times")
        return spans[0] if spans else None

    def text(self, fields: Fields, number: int, what: str) -> str:
        """Gives a string; "" if it is not there."""
        span = self.span(fields, number, what)
        if span is None:
            return ""
        try:
            return bytes(self.data[slice(*span)]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"{what} is not UTF-8") from error

    def number(self, fields: Fields, number: int, what: str) -> int:
        """Gives an unsigned number; 0 if it is not there."""
        values = fields.get(number, [])
        if not values:
            return 0
        if len(values) > 1 or values[0][0] != VARINT:
            raise self.error(f"{what}: not one number")
        return values[0][1]
