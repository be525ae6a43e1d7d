"""The transport: every exchange with a system, a token endpoint or Slack goes through a Session of this module.

    with exchange("SAP S/4HANA", "create order", seconds=30):
        response = session.post(url, data=body)

One hard deadline from the look-up of the name to the last byte (wire.py), no redirects, one limit while unpacking, one
rule for proxies and certificates; and whatever the libraries below raise becomes an error of errors.py.
"""

from __future__ import annotations

import base64
import codecs
import ssl
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache, partial
from http.cookiejar import DefaultCookiePolicy
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_auth_from_url, prepend_scheme_if_needed, select_proxy
from urllib3.util import parse_url
from urllib3.util.ssl_ import create_urllib3_context

from crmsync import __version__
from crmsync.connectors.way_out.faults import (
    LIBRARY_ERRORS,
    BrokenAnswerError,
    ProxyAddressError,
    TooLargeError,
    UntrustedError,
    causes,
    fault,
)
from crmsync.connectors.way_out.wire import (
    OUTSIDE_POOLS,
    POOLS,
    InsideError,
    LeftOpenError,
    TlsSocket,
    require_outside,
    within,
)

POOL_SIZE = 64  # connections kept open per host: at least the threads of a worker
BODY_BYTES_MAX = 32 * 1024 * 1024
READS = frozenset({"GET", "HEAD", "OPTIONS"})
LINE_CHARS_MAX = 1024 * 1024
USER_AGENT = f"crmsync/{__version__}"

_CHUNK_BYTES = 64 * 1024
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


@contextmanager
def exchange(system: str, operation: str, *, seconds: float) -> Iterator[None]:
    """Exchanges inside the block end within *seconds*, and fail by an error of errors.py.

    Raises: VendorUnavailableError, definite where no byte has left; CertificateError; UnexpectedAnswerError for an
    answer beyond the limit.
    """
    with within(seconds):
        try:
            yield
        except LIBRARY_ERRORS as error:
            # Without its cause: that quotes the address, which may hold a customer's e-mail.
            raise fault(system, operation, error) from None


# -- sessions


class Session(requests.Session):
    """A session for all threads of a process; put before another class of sessions it makes that one as careful."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Otherwise a netrc file would replace our credentials, and each call would read the environment.
        self.trust_env = False
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})
        self.is_direct = self.keeps_cookies = self.is_outside = False
        self._routes: dict[str, dict[str, Any]] = {}
        self._mount(POOLS)

    def stay_outside(self) -> None:
        """Connect to no machine of this network, whatever a name leads to: for addresses that people give."""
        self.is_outside = True
        self._mount(OUTSIDE_POOLS)

    def _mount(self, pools: Mapping[str, Any]) -> None:
        adapter = _Adapter(pools, pool_connections=16, pool_maxsize=POOL_SIZE)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """The answer, never a redirect's; its body within the limit, or unread where `stream` is asked for."""
        is_stream = kwargs.pop("stream", False)
        options = {**kwargs, "stream": True, "allow_redirects": False}
        response = _once_more(request, partial(super().send, request, **options))
        if not is_stream:
            with response:
                response._content = content(response)
        return response

    def ask(self, method: str, url: str, *, params: Any, body: Any, headers: Mapping[str, str]) -> requests.Response:
        """The answer to a call, as request() gets it, its body unread.

        What request() does for cookies, hooks, files and credentials of the session costs more processor time than the
        exchange; a call of ours has none of them, but where the vendor binds tokens to cookies.
        """
        if self.keeps_cookies or "@" in url:  # which may be credentials
            return self.request(method, url, params=params, data=body, headers=dict(headers), stream=True)
        request = self._prepared(method, url, params, body, headers)
        address = str(request.url)
        route = self.merge_environment_settings(address, {}, True, None, None)
        send = self.get_adapter(address).send
        return _once_more(request, partial(send, request, timeout=None, **route))

    def _prepared(
        self, method: str, url: str, params: Any, body: Any, headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.prepare_url(url, params)
        request.prepare_headers({**self.headers, **headers})
        if not body or isinstance(body, bytes):
            request.body = body or None
            request.prepare_content_length(request.body)
        else:
            request.prepare_body(body, None)
        return request

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None, whatever the answer says: credentials go where the settings say, and nowhere else."""
        return None

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """The proxy that this machine prescribes for a host, looked up once. Raises: ProxyAddressError."""
        host = urlsplit(url).netloc
        if self.is_direct:
            return {"proxies": {}, "verify": True, "cert": None, "stream": stream}
        if host not in self._routes:
            found = requests.Session().merge_environment_settings(url, {}, None, None, None)
            proxy = select_proxy(url, found["proxies"])
            _require_usable(proxy)
            if proxy and self.is_outside:  # which looks the name up itself
                _require_outside_by_name(urlsplit(url).hostname or "")
            self._routes[host] = {"proxies": found["proxies"], "verify": True, "cert": None}
        return {**self._routes[host], "stream": stream}


def new_session(*, cookies: bool = False, is_direct: bool = False, is_outside: bool = False) -> Session:
    """A session without cookies, unless the vendor binds tokens to them.

    A direct one uses no proxy, whatever is prescribed.

    One that *is_outside* connects to no machine of this network.
    """
    session = Session()
    if is_outside:
        session.stay_outside()
    session.is_direct, session.keeps_cookies = is_direct, cookies
    if not cookies:
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def _once_more(request: requests.PreparedRequest, send: Callable[[], requests.Response]) -> requests.Response:
    """What only reads is sent once more where it met the end of a connection that was kept open (RFC 9112, 9.3.1)."""
    try:
        return send()
    except requests.ConnectionError as error:
        if request.method not in READS or not any(isinstance(each, LeftOpenError) for each in causes(error)):
            raise
        return send()


class _Adapter(HTTPAdapter):
    """Connections that keep deadlines, and trust what this machine trusts."""

    def __init__(self, pools: Mapping[str, Any], **kwargs: Any) -> None:
        self._pools = pools
        super().__init__(**kwargs)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, proxy_ssl_context=self._trust, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """With the password in UTF-8: requests would fail at what Latin-1 does not have."""
        user, password = get_auth_from_url(proxy)
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {basic}"} if user else {}

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"ssl_context": self._trust} if host["scheme"] == "https" else {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context has it all."""

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return _trust(_bundle())


def _require_outside_by_name(host: str) -> None:
    """Raises: InsideError for a host that is an address of this network, or a name of this machine."""
    if host.rstrip(".").rpartition(".")[2].lower() == "localhost":
        raise InsideError(host)
    with suppress(ValueError):
        require_outside([str(ip_address(host))])


def _require_usable(proxy: str | None) -> None:
    """Raises: ProxyAddressError."""
    if not proxy:
        return
    try:
        address = parse_url(prepend_scheme_if_needed(proxy, "http"))  # type: ignore[no-untyped-call]
        if address.scheme in ("http", "https") and address.host:
            return
    except ValueError:
        pass
    raise ProxyAddressError


def _bundle() -> str:
    """The file or folder of certificates to trust: as the environment says, else the usual authorities."""
    told = requests.Session().merge_environment_settings("https://any", {}, None, None, None)["verify"]
    if isinstance(told, str):  # REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE
        return told
    paths = ssl.get_default_verify_paths()
    if paths.cafile and paths.cafile != paths.openssl_cafile:  # SSL_CERT_FILE
        return paths.cafile
    if paths.capath and paths.capath != paths.openssl_capath:  # SSL_CERT_DIR
        return paths.capath
    return DEFAULT_CA_BUNDLE_PATH


@lru_cache
def _trust(path: str) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.sslsocket_class = TlsSocket
    try:
        context.load_verify_locations(**{"capath" if Path(path).is_dir() else "cafile": path})
    except (OSError, ValueError) as error:
        raise UntrustedError(f"REQUESTS_CA_BUNDLE names {path}, which holds no certificates.") from error
    return context


# -- bodies


def content(response: requests.Response) -> bytes:
    """The whole body. Raises: TooLargeError, before it fills the memory; BrokenAnswerError."""
    chunks, size = [], 0
    for chunk in _chunks(response):
        chunks.append(chunk)
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise TooLargeError
    return b"".join(chunks)


def lines(response: requests.Response) -> Iterator[str]:
    """The body of any size, line by line as it comes, each with its line feed."""
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    rest = ""
    for chunk in _chunks(response):
        *whole, rest = (rest + decode(chunk)).split("\n")
        if len(rest) > LINE_CHARS_MAX:
            raise TooLargeError
        for line in whole:
            yield f"{line}\n"
    if rest := rest + decode(b"", final=True):
        yield rest


def text(response: requests.Response, body: bytes) -> str:
    """*body* in UTF-8, which JSON always is, whatever a gateway calls it; else by the character set that it names."""
    if b"\0" not in body:  # as UTF-16 has it
        with suppress(ValueError):
            return body.decode("utf-8")
    try:
        return body.decode(response.encoding or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return body.decode("utf-8", errors="replace")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """The body unpacked, in pieces. Raises: BrokenAnswerError."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    try:
        if encoding in ("gzip", "x-gzip", "deflate"):
            yield from _unpacked(_raw(response))
        elif encoding in ("", "identity"):
            yield from _raw(response)
        else:
            raise BrokenAnswerError("compressed in a way that was not requested")
    except LIBRARY_ERRORS as error:
        raise BrokenAnswerError(error) from error


def _raw(response: requests.Response) -> Iterator[bytes]:
    # read1 returns what there is: read would wait, piece by piece, until it has it all.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        yield chunk


def _unpacked(packed: Iterator[bytes]) -> Iterator[bytes]:
    """Never more than a chunk at a time, however well it is packed. Raises: zlib.error; EOFError where it is cut."""
    unpacker: Any = None
    for piece in packed:
        while piece:
            if unpacker is None or unpacker.eof:
                unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
            if chunk := unpacker.decompress(piece, _CHUNK_BYTES):
                yield chunk
            piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if unpacker is not None and not unpacker.eof:
        raise EOFError
