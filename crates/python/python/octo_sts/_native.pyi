from typing import Any, Callable, Optional, final

class TokenRefused(Exception): ...

@final
class NativeVerifier:
    def __new__(
        cls,
        audiences: list[str],
        issuers: list[str],
        allow: list[str],
        max_lifetime: int,
        allow_loopback_http: bool,
        clock: Optional[float] = None,
        fetch: Optional[Callable[[str], tuple[int, dict[str, str], bytes]]] = None,
    ) -> NativeVerifier: ...
    def verify(self, token: str) -> dict[str, Any]: ...
    def start(self, token: str) -> Check: ...
    def start_request(self, authorization: list[str]) -> Check: ...

@final
class Check:
    def poll(self, wake: Callable[[], object]) -> Optional[dict[str, Any]]: ...
