"""What a facade's methods check before they do anything: the process that they run in, and their arguments."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from functools import cache, wraps
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from orchestrator.errors import SettingsError

Seconds = Annotated[float, Field(ge=0)]
"""A duration: not negative, and a number."""

_Facade = TypeVar("_Facade", bound="Facade")
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_SHOWN = 80
"""Characters of a wrong argument."""


class Facade:
    """Belongs to the process that made it: a fork has its connections and its locks, but none of its threads."""

    def __init__(self) -> None:
        self._made_in = os.getpid()

    @property
    def is_of_this_process(self) -> bool:
        return self._made_in == os.getpid()

    def require_own_process(self) -> None:
        """Raises SettingsError ``forked``."""
        if not self.is_of_this_process:
            raise SettingsError(
                f"{type(self).__name__} was opened in process {self._made_in} and is used in {os.getpid()}, a fork of "
                "it: expected one that was opened in this process",
                code="forked",
            )


def checked(
    method: Callable[Concatenate[_Facade, _Arguments], Awaitable[_Result]],
) -> Callable[Concatenate[_Facade, _Arguments], Awaitable[_Result]]:
    """The method, awaited, raises SettingsError: ``forked`` in another process than its facade's, ``argument`` for an
    argument that is not what its annotation says. Nothing is converted."""
    signature = inspect.signature(method)

    @cache
    def adapters() -> dict[str, TypeAdapter[Any]]:
        hints = get_type_hints(method, include_extras=True)
        strict = ConfigDict(strict=True, arbitrary_types_allowed=True)
        return {name: TypeAdapter(hints[name], config=strict) for name in signature.parameters if name in hints}

    @wraps(method)
    async def call(self: _Facade, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        self.require_own_process()
        given = signature.bind(self, *args, **kwargs).arguments
        for name, adapter in adapters().items():
            if name in given:
                _check(f"{method.__name__}({name}=…)", adapter, given[name])
        return await method(self, *args, **kwargs)

    return call


def _check(what: str, adapter: TypeAdapter[Any], value: Any) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        expected = " or ".join(dict.fromkeys(one["msg"].removeprefix("Input should be ") for one in found))
        raise _wrong(what, expected, value) from None
    if isinstance(value, str) and not value.isascii() and value.encode(errors="replace").decode() != value:
        raise _wrong(what, "text that UTF-8 can spell", value)


def _wrong(what: str, expected: str, value: Any) -> SettingsError:
    return SettingsError(
        f"{what}: expected {expected}, got {type(value).__name__} {ascii(value)[:_SHOWN]}", code="argument"
    )
