"""Asks pip's index for one package, and says in JSON what is wrong with the answer: null if nothing is, or if only pip can tell.

pip takes a page without links, an error of the server and a server that it does not reach for an index without the package, and waits for a
slow answer as long as single bytes come.
"""

import base64
import http.client
import json
import os
import re
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# What a working mirror sends at least within the limit, which is in seconds.
BYTES = 20_000
LARGEST = 4_000_000
ATTEMPTS = 3


def main():
    package, limit = sys.argv[1], int(sys.argv[2])
    index = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    wrong = None
    # Where files come from other places, too, they may suffice without the index.
    others = any(os.environ.get(it) for it in ("PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"))
    if not os.environ.get("PIP_NO_INDEX") and index.startswith(("http://", "https://")):
        parts = urllib.parse.urlsplit(index)
        # Credentials are not for messages.
        place = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        wrong = fault(parts, place.rstrip("/") + "/" + package + "/", limit, others)
        wrong = wrong and f"the package index {place} {wrong}"
    json.dump(wrong, sys.stdout)


class Late(Exception):
    pass


def fault(parts, url, limit, others):
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.1"})
    if parts.username:
        words = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(words.encode()).decode())
    last = None

    def late(*_):
        raise Late

    signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    text = bytearray()
    try:
        opener = urllib.request.build_opener(proxies(), urllib.request.HTTPSHandler(context=trust(parts)))
        # pip asks again, too: a server that restarts is none that is away.
        for attempt in range(ATTEMPTS):
            time.sleep(attempt * limit / 20)
            text.clear()
            passing, last = once(opener, request, text, parts)
            if not passing:
                return last
        return None if others else last
    except Late:
        if len(text) >= BYTES:
            return None
        if last and not text:
            return None if others else last
        return f"sent {len(text)} bytes in {limit} s" if text else f"did not answer within {limit} s"
    except (OSError, ValueError):
        # A file with certificates that cannot be read is pip's to tell.
        return None
    finally:
        signal.alarm(0)


def once(opener, request, text, parts):
    """Whether the fault may pass, and the fault; the answer is in `text`."""
    try:
        with opener.open(request) as answer:
            kind = answer.headers.get_content_type()
            length = int(answer.headers.get("Content-Length") or 0)
            while len(text) < LARGEST and (part := answer.read1(65536)):
                text += part
    except urllib.error.HTTPError as error:
        # pip tells of a login that is missing and of a package that the index lacks.
        told = error.code in (401, 403, 404)
        return not told, None if told else f"answers with an error: {error.code} {error.reason}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        proxy = proxies().proxies.get(parts.scheme)
        passed = proxy and not urllib.request.proxy_bypass(parts.hostname or "")
        way = f" through the proxy {urllib.parse.urlsplit(proxy).netloc.rpartition('@')[2] or proxy}" if passed else ""
        return True, f"does not answer{way}: {named(error)}"
    if len(text) < min(length, LARGEST):
        return True, f"sent {len(text)} of {length} bytes"
    if kind == "text/html" and not re.search(rb"\.(whl|zip|tar\.gz|tar\.bz2|egg)\b", text):
        return False, "answers with a web page that lists no file of a package, such as a login page"
    return False, None


def proxies():
    """The proxies that pip uses."""
    if os.environ.get("PIP_NO_PROXY_ENV") and not os.environ.get("PIP_PROXY"):
        return urllib.request.ProxyHandler({})
    proxy = os.environ.get("PIP_PROXY")
    return urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None)


def trust(parts):
    """The authorities and hosts that pip trusts (pip/_internal/cli/index_command.py, network/session.py): the system's, its own, and those that are
    given. As there, a certificate need not follow RFC 5280 to the letter, as Python 3.13 asks by default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_default_verify_paths()
    try:
        from pip._vendor import certifi
        context.load_verify_locations(certifi.where())
    except (ImportError, OSError):
        pass
    given = next((os.environ[it] for it in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(it)), None)
    if given:
        context.load_verify_locations(**{"capath" if os.path.isdir(given) else "cafile": given})
    if os.environ.get("PIP_CLIENT_CERT"):
        context.load_cert_chain(os.environ["PIP_CLIENT_CERT"])
    if {parts.hostname, f"{parts.hostname}:{parts.port}"} & set(os.environ.get("PIP_TRUSTED_HOST", "").split()):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def named(error):
    """The reason in words: the innermost error of a chain, without its number."""
    reason = error
    while isinstance(getattr(reason, "reason", None), BaseException):
        reason = reason.reason
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {reason.verify_message}"
    if isinstance(reason, socket.gaierror):
        return f"its name does not resolve: {reason.strerror}"
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


if __name__ == "__main__":
    main()
