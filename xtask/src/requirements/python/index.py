"""Asks pip's index for one package, and says in JSON what is wrong with the answer: null if nothing is, or if only pip can tell.

pip takes a page without links for an index without the package, and waits for a slow answer as long as single bytes come.
"""

import base64
import json
import os
import re
import signal
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

# What a working mirror sends at least within the limit, which is in seconds.
BYTES = 20_000
LARGEST = 4_000_000


def main():
    package, limit = sys.argv[1], int(sys.argv[2])
    index = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    wrong = None
    if not os.environ.get("PIP_NO_INDEX") and index.startswith(("http://", "https://")):
        parts = urllib.parse.urlsplit(index)
        # Credentials are not for messages.
        place = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        wrong = fault(parts, place.rstrip("/") + "/" + package + "/", limit)
        wrong = wrong and f"the package index {place} {wrong}"
    json.dump(wrong, sys.stdout)


class Late(Exception):
    pass


def fault(parts, url, limit):
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.1"})
    if parts.username:
        words = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(words.encode()).decode())
    text = bytearray()

    def late(*_):
        raise Late

    signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    try:
        context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
        proxy = os.environ.get("PIP_PROXY")
        proxies = urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None)
        opener = urllib.request.build_opener(proxies, urllib.request.HTTPSHandler(context=context))
        with opener.open(request) as answer:
            kind = answer.headers.get_content_type()
            while len(text) < LARGEST and (part := answer.read1(65536)):
                text += part
    except Late:
        if len(text) >= BYTES:
            return None
        return f"sent {len(text)} bytes in {limit} s" if text else f"did not answer within {limit} s"
    except (OSError, ValueError):
        # An error that has a name is pip's to tell.
        return None
    finally:
        signal.alarm(0)
    if kind == "text/html" and not re.search(rb"\.(whl|zip|tar\.gz|tar\.bz2|egg)\b", text):
        return "answers with a web page that lists no file of a package, such as a login page"
    return None


if __name__ == "__main__":
    main()
