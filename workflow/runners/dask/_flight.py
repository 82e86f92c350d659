"""Arrow Flight between hubs, and from the client to them: exchanges that a secret opens."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from pyarrow import flight

from workflow.runners.dask._wire import Message, decode, encode

__all__ = ["Certificates", "Peer", "Server"]

_HEADER: Final = "authorization"


@dataclass(frozen=True, slots=True)
class Certificates:
    """What TLS takes, each as PEM; both ends prove who they are."""

    authority: bytes
    certificate: bytes
    key: bytes
    name: str  # that the certificates are made out to


class Peer:
    """A connection to the hub at a location; to be closed."""

    def __init__(self, location: str, secret: str, certificates: Certificates | None) -> None:
        options: dict[str, Any] = {}
        if certificates is not None:
            options = {
                "tls_root_certs": certificates.authority,
                "cert_chain": certificates.certificate,
                "private_key": certificates.key,
                "override_hostname": certificates.name,
            }
        self._client = flight.connect(location, **options)
        self._headers = flight.FlightCallOptions(headers=[(_HEADER.encode(), secret.encode())])

    def exchange(self, command: Message) -> tuple[Any, Any]:
        """Begin one: its writer and its reader.  Raises pyarrow.ArrowException."""
        descriptor = flight.FlightDescriptor.for_command(encode(command))
        writer, reader = self._client.do_exchange(descriptor, self._headers)
        return writer, reader

    def close(self) -> None:
        """End the connection, once its exchanges are over."""
        self._client.close()


class Server(flight.FlightServerBase):  # type: ignore[misc]
    """Hands each exchange, in a thread of its own, to ``serve(command, reader, writer)``."""

    def __init__(
        self,
        host: str,
        secret: str,
        certificates: Certificates | None,
        serve: Callable[[Message, Any, Any], None],
    ) -> None:
        scheme, options = "grpc", {}
        if certificates is not None:
            scheme = "grpc+tls"
            options = {
                "tls_certificates": [(certificates.certificate, certificates.key)],
                "verify_client": True,
                "root_certificates": certificates.authority,
            }
        if ":" in host:
            host = f"[{host}]"
        super().__init__(f"{scheme}://{host}:0", middleware={"secret": _Guard(secret)}, **options)
        self.location: Final = f"{scheme}://{host}:{self.port}"
        self._serve = serve

    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """See `pyarrow.flight.FlightServerBase`."""
        del context
        try:
            command = decode(descriptor.command)
        except ValueError as error:
            raise pa.ArrowInvalid(str(error)) from None
        self._serve(command, reader, writer)


class _Guard(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Lets only those in who know the secret."""

    def __init__(self, secret: str) -> None:
        super().__init__()
        self._secret = secret.encode()

    def start_call(self, info: Any, headers: dict[str, list[str | bytes]]) -> None:
        """See `pyarrow.flight.ServerMiddlewareFactory`."""
        del info
        given = headers.get(_HEADER, [""])[0]
        given = given.encode() if isinstance(given, str) else given
        if not hmac.compare_digest(given, self._secret):
            raise flight.FlightUnauthenticatedError("this hub serves another run")
