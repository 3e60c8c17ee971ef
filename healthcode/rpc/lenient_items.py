"""Decodes what can be read of a request of items that protobuf refused, so that every item gets its own verdict.

Protobuf refuses a whole message for one string that is not UTF-8.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["decode_leniently"]

# twice the largest batch; lenient decoding is slow
_MAX_INNER = 256

_Message = TypeVar("_Message", bound=Message)


def decode_leniently(kind: type[_Message], raw: bytes) -> _Message | None:
    """What can be read of a refused message; None if nothing can, or if it has too many items.

    A string keeps its valid UTF-8, with U+FFFD for the rest; an inner message that cannot be read is present
    and empty. Only for types without maps, oneofs and groups, as requests with items are.
    """
    try:
        twin = _twin(kind.DESCRIPTOR).FromString(raw)
    except ProtobufDecodeError:
        return None
    message = kind()
    for field, value in twin.ListFields():
        of: Any = kind.DESCRIPTOR.fields_by_number[field.number]
        if of.is_repeated and len(value) > _MAX_INNER:
            return None
        if of.type == FieldDescriptor.TYPE_STRING:
            read = [each.decode("utf-8", "replace") for each in _several(of, value)]
        elif of.type == FieldDescriptor.TYPE_MESSAGE:
            inner: type[Message] = GetMessageClass(of.message_type)
            read = [decode_leniently(inner, each) or inner() for each in _several(of, value)]
        else:
            read = list(_several(of, value))
        _put(message, of, read)
    return message


def _several(field: Any, value: Any) -> list[Any]:
    return list(value) if field.is_repeated else [value]


def _put(message: Message, field: Any, read: list[Any]) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(read)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        getattr(message, field.name).CopyFrom(read[0])
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, read[0])


@cache
def _twin(descriptor: Descriptor) -> type[Message]:
    """A type with the same field numbers in which strings and messages are bytes, and enums are numbers."""
    proto = DescriptorProto(name="Twin")
    for field in descriptor.fields:
        kind = field.type
        if kind in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE}:
            kind = FieldDescriptor.TYPE_BYTES
        elif kind == FieldDescriptor.TYPE_ENUM:
            kind = FieldDescriptor.TYPE_INT32
        label = FieldDescriptor.LABEL_REPEATED if field.is_repeated else FieldDescriptor.LABEL_OPTIONAL
        proto.field.append(
            FieldDescriptorProto(name=field.name, number=field.number, type=kind, label=label)  # type: ignore[arg-type]  # the same numbers
        )
    pool = DescriptorPool()
    pool.Add(FileDescriptorProto(name="twin.proto", package="twin", syntax="proto3", message_type=[proto]))
    return GetMessageClass(pool.FindMessageTypeByName("twin.Twin"))
