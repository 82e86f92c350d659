"""Arrow Flight between hubs, and from the client to them: exchanges that a secret opens."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from cryptography import x509
from cryptography.x509.oid import NameOID
from pyarrow import flight

from workflow.runners.dask._wire import Message, decode, encode

__all__ = ["Certificates", "Peer", "Server"]

_HEADER: Final = "authorization"


@dataclass(frozen=True, slots=True)
class Certificates:
    """What TLS takes, each as PEM: both ends prove who they are."""

    authority: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def of(cls, security: Any, role: str, address: str) -> "Certificates | None":
        """Those that Dask uses in a role, ``worker`` or ``client``; None if its address has no TLS.

        Raises ValueError if one of them is not given.
        """
        if not address.startswith("tls://"):
            return None
        config = security.get_tls_config_for_role(role)
        return cls(*(_pem(config[name], f"{role}: {name}") for name in ("ca_file", "cert", "key")))

    @property
    def name(self) -> str:
        """Whom the certificate is made out to."""
        certificate = x509.load_pem_x509_certificate(self.certificate)
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            pass
        else:
            if found := names.value.get_values_for_type(x509.DNSName):
                return str(found[0])
        [common, *_] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common.value)


def _pem(value: str | None, what: str) -> bytes:
    """As Dask has it: a path, or the text itself."""
    if not value:
        raise ValueError(f"{what}: got nothing, expected the PEM that the cluster uses for TLS")
    return value.encode() if "\n" in value else Path(value).read_bytes()


class Peer:
    """A connection to the hub at a location; to be closed.

    With TLS a location ends in ``#`` and the name in the hub's certificate.
    """

    def __init__(self, location: str, secret: str, certificates: Certificates | None) -> None:
        # A connection of its own: a shared one may remember that nobody was there a moment ago.
        options: dict[str, Any] = {"generic_options": [("grpc.use_local_subchannel_pool", 1)]}
        location, _, name = location.partition("#")
        if certificates is not None:
            options |= {
                "tls_root_certs": certificates.authority,
                "cert_chain": certificates.certificate,
                "private_key": certificates.key,
                "override_hostname": name,
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
        scheme, name, options = "grpc", "", {}
        if certificates is not None:
            scheme, name = "grpc+tls", f"#{certificates.name}"
            options = {
                "tls_certificates": [(certificates.certificate, certificates.key)],
                "verify_client": True,
                "root_certificates": certificates.authority,
            }
        if ":" in host:
            host = f"[{host}]"
        super().__init__(f"{scheme}://{host}:0", middleware={"secret": _Guard(secret)}, **options)
        self.location: Final = f"{scheme}://{host}:{self.port}{name}"
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
