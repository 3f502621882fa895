"""What a node in front of Anvil may change in its answers: a result, or whether there is one."""

from __future__ import annotations


def lie(method, value, *, when=lambda request: True):
    """Changes the result of one method: to a value, or by a function of the true one."""

    def change(request, answer):
        if request["method"] == method and when(request) and "result" in answer:
            return {**answer, "result": value(answer["result"]) if callable(value) else value}
        return answer

    return change


def refuse(when, code=-32000, message="unknown block"):
    def change(request, answer):
        if when(request):
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}}
        return answer

    return change
