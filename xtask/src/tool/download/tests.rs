//! What programs really said: pip 26.3, uv 0.13.9, npm 11.19, pnpm 10.18, yarn 1.22.22, Go 1.26, cargo 1.96, apt 2.6, OpenTofu 1.12.

use super::*;

#[track_caller]
fn check(said: &str, meaning: &str) {
    let found = fault(said).unwrap_or_default();
    assert!(found.starts_with(meaning), "{found:?} does not start with {meaning:?}\n{said}");
}

#[test]
fn other_bytes_are_named_with_their_file_whoever_refuses_them() {
    let file = |name: &str| format!("{name} is not what its pinned digest says");
    check(
        "Collecting idna==1.0 (from -r req.txt (line 1))\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated\n    idna==1.0 from http://u:p@127.0.0.1:1/f/idna-1.0-py3-none-any.whl#sha256=6f6d (from -r req.txt (line 1)):\n        Expected sha256 6f6d\n             Got        6a30",
        &file("http://127.0.0.1:1/f/idna-1.0-py3-none-any.whl"),
    );
    check(
        "npm warn tarball tarball data for http://127.0.0.1:1/tiny/-/tiny-1.0.0.tgz (sha512-3MTe==) seems to be corrupted. Trying again.\nnpm error code EINTEGRITY\nnpm error sha512-3MTe== integrity checksum failed when using sha512: wanted sha512-3M but got sha512-xn",
        &file("http://127.0.0.1:1/tiny/-/tiny-1.0.0.tgz"),
    );
    check(
        "go: downloading example.com/tiny v1.0.0\nverifying example.com/tiny@v1.0.0: checksum mismatch\n\tdownloaded: h1:k+pe0",
        &file("example.com/tiny@v1.0.0"),
    );
    check(
        "Importing packages to virtual store\n WARN  GET http://127.0.0.1:1/tiny/-/tiny-1.0.0.tgz error (ERR_PNPM_TARBALL_INTEGRITY). Will retry in 1 second. 1 retries left.\n ERR_PNPM_TARBALL_INTEGRITY  Got unexpected checksum for \"http://127.0.0.1:1/tiny/-/tiny-1.0.0.tgz\". Wanted \"sha512-QPiV\". Got \"sha512-eXSO\".",
        &file("http://127.0.0.1:1/tiny/-/tiny-1.0.0.tgz"),
    );
    check(
        "[2/4] Fetching packages...\nerror http://127.0.0.1:1/tiny/-/tiny-1.0.0.tgz: Integrity check failed for \"tiny\" (computed integrity doesn't match our records, got \"sha512-eXSO\")",
        &file("http://127.0.0.1:1/tiny/-/tiny-1.0.0.tgz"),
    );
    check("error: failed to verify the checksum of `tiny v1.0.0`", &file("tiny v1.0.0"));
    let apt = |file: &str, why: &str| {
        format!(
            "I: downloading packages with apt...\nErr:1 http://127.0.0.1:1 x/main amd64 tiny all 1.0\n  {why}\n  Hashes of expected file:\n   - SHA256:4f9b\n   - Filesize:704 [weak]\n  Hashes of received file:\n   - SHA256:a5a3\nE: Failed to fetch http://127.0.0.1:1/{file}  {why}\n   Hashes of expected file:\nE: mmdebstrap failed to run"
        )
    };
    for name in ["pool/tiny_1.0_all.deb", "dists/x/main/binary-amd64/Packages"] {
        for why in ["Hash Sum mismatch", "File has unexpected size (300 != 704). Mirror sync in progress? [IP: 127.0.0.1 1]"] {
            check(&apt(name, why), &file(&format!("http://127.0.0.1:1/{name}")));
        }
    }
    check(
        "│ Error: Failed to install provider\n│ \n│ Error while installing hashicorp/aws v6.69.0: the current package for\n│ registry.opentofu.org/hashicorp/aws 6.69.0 doesn't match any of the checksums\n│ previously recorded in the dependency lock file; for more information:\n│ https://opentofu.org/docs/language/files/dependency-lock/#checksum-verification",
        &file("registry.opentofu.org/hashicorp/aws 6.69.0"),
    );
    check(
        "  - registry.opentofu.org/hashicorp/aws: the cached package for\n    registry.opentofu.org/hashicorp/aws 6.69.0 (in .terraform/providers) does not\n    match any of the checksums recorded in the dependency lock file",
        &file("registry.opentofu.org/hashicorp/aws 6.69.0"),
    );
    check(
        "│ Error while installing hashicorp/aws v6.69.0: archive has incorrect checksum\n│ zh:276e (expected\n│ zh:33a3)",
        &file("hashicorp/aws v6.69.0"),
    );
}

#[test]
fn faults_of_the_network_are_told_apart_in_every_programs_words() {
    for (meaning, said) in [
        (
            "the server's certificate is not accepted: ",
            &[
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)'))': /simple/idna/\nERROR: No matching distribution found for idna==1.0",
                "error: Failed to fetch: `https://localhost:1/simple/idna/`\n  cause: invalid peer certificate: Expired",
                "npm error code DEPTH_ZERO_SELF_SIGNED_CERT\nnpm error errno DEPTH_ZERO_SELF_SIGNED_CERT",
                "x.go:2:8: example.com/tiny@v1.0.0: Get \"https://localhost:1/\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            ][..],
        ),
        (
            "the server's name does not resolve: ",
            &[
                "error: Request failed after 3 retries in 6.4s\n  cause: Failed to fetch: http://index.invalid/simple/idna/\n  cause: dns error\n  cause: failed to lookup address information: Name or service not known",
                "npm error network request to http://index.invalid/tiny failed, reason: getaddrinfo ENOTFOUND index.invalid",
                "dial tcp: lookup index.invalid on 10.255.255.53:53: no such host",
                "dial tcp: lookup index.invalid on 10.255.255.53:53: server misbehaving",
            ],
        ),
        (
            "the server refuses the connection: ",
            &[
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=1): Failed to establish a new connection: [Errno 111] Connection refused\")': /simple/idna/\nERROR: No matching distribution found for idna==1.0",
                "  cause: tcp connect error\n  cause: Connection refused (os error 111)",
                "dial tcp 127.0.0.1:1: connect: connection refused",
            ],
        ),
        (
            "the proxy does not let the download through: ",
            &["Get \"http://i/\": proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused"],
        ),
        (
            "the connection was cut: ",
            &[
                "  WARNING: Connection interrupted while downloading.\nerror: incomplete-download\n\n× Download failed after 6 attempts because not enough bytes were received (200 bytes/614 bytes)\n",
                "npm error code ECONNRESET\nnpm error network aborted",
                " WARN\u{2009} GET http://127.0.0.1:1/tiny-1.0.0.tgz error (ECONNRESET). Will retry in 1 second. 1 retries left.\n ECONNRESET  aborted\n\nError: aborted",
                "info There appears to be trouble with your network connection. Retrying...\nerror Error: aborted\n    at TCP.<anonymous> (node:net:343:12)",
                "x.go:2:8: example.com/tiny@v1.0.0: read \"http://127.0.0.1:1/v1.0.0.zip\": unexpected EOF",
            ],
        ),
        (
            "the server answers with an error: ",
            &[
                "  cause: HTTP status server error (503 Service Unavailable) for url (http://127.0.0.1:1/simple/idna/)",
                "npm error code E503\nnpm error 503 Service Unavailable - GET http://127.0.0.1:1/tiny",
                "example.com/tiny@v1.0.0: reading http://127.0.0.1:1/v1.0.0.zip: 503 Service Unavailable\n\tserver response: no",
                " ERR_PNPM_FETCH_503  GET http://127.0.0.1:1/tiny-1.0.0.tgz: Service Unavailable - 503",
                "error Error: http://127.0.0.1:1/tiny-1.0.0.tgz: Request failed \"503 Service Unavailable\"",
                "example.com/tiny@v1.0.0: reading http://127.0.0.1:1/v1.0.0.zip: 502 Wrong\n\tserver response: no",
                "pip._vendor.requests.exceptions.RetryError: HTTPConnectionPool(host='127.0.0.1', port=1): Max retries exceeded with url: /f/x.whl (Caused by ResponseError('too many 503 error responses'))",
            ],
        ),
        (
            "a file is no package, as if it were cut or a web page: error http://127.0.0.1:1/tiny-1.0.0.tgz: ",
            &[
                "error http://127.0.0.1:1/tiny-1.0.0.tgz: Extracting tar content of undefined failed, the file appears to be corrupt: \"Unexpected end of data\"",
            ],
        ),
        (
            "the signature of an index does not fit: ",
            &[
                "W: GPG error: http://127.0.0.1:1 x InRelease: The following signatures were invalid: BADSIG 7292E82192BA4E7D tiny\nE: The repository 'http://127.0.0.1:1 x InRelease' is not signed.",
            ],
        ),
        (
            "a web page answers instead of the server, such as a login page: ",
            &[
                "E: Failed to fetch http://127.0.0.1:1/dists/x/InRelease  Clearsigned file isn't valid, got 'NOSPLIT' (does the network require authentication?)",
                "npm error invalid json response body at http://127.0.0.1:1/tiny reason: Unexpected token '<', \"<form>login</form>\" is not valid JSON",
            ],
        ),
    ] {
        for said in said {
            check(said, meaning);
        }
    }
    let absent =
        "npm error code E404\nnpm error 404 Not Found - GET http://127.0.0.1:1/tiny - Not found\nnpm error 404  'tiny@1' is not here";
    assert_eq!(fault(absent).unwrap(), "the server answers with an error: 404 Not Found - GET http://127.0.0.1:1/tiny - Not found");
    assert_eq!(fault("error: expected `;`\nnpm error code ERESOLVE"), None);
    // The words of the user's own source, which does not compile; before it, a download that worked the second time.
    let cargo =
        "warning: spurious network error (3 tries remaining): timed out\n   Compiling app v0.1.0\nerror[E0308]\n4 |     \"timed out\"";
    let go = "go: downloading a v1.0.0\n# app\n./main.go:4:9: cannot use \"connection refused\" as int value";
    for compiled in [cargo, go] {
        assert_eq!(fault(compiled), None);
    }
}

#[test]
fn what_was_asked_for_is_named_where_the_reason_does_not_say_it() {
    let uv = |cause: &str| {
        format!(
            "error: Request failed after 3 retries in 6.4s\n  cause: Failed to fetch: http://me:secret@127.0.0.1:1/f/x.whl\n  cause: error sending request for url (http://127.0.0.1:1/f/x.whl)\n  cause: client error (Connect)\n{cause}"
        )
    };
    check(
        &uv("  cause: tcp connect error\n  cause: Connection refused (os error 111)"),
        "the server refuses the connection: http://127.0.0.1:1/f/x.whl: Connection refused",
    );
    check(
        &uv("  cause: dns error\n  cause: error resolving DNS\n  cause: failed to lookup address information: Name or service not known"),
        "the server's name does not resolve: http://127.0.0.1:1/f/x.whl: failed to lookup",
    );
    check(
        "error: No solution found when resolving dependencies\n  cause: Because tiny==1.0 has an invalid package format\n\n  hint: The structure of `tiny` (v1.0) was invalid:\n    Failed to read from zip file",
        "a file is no package, as if it were cut or a web page: `tiny` (v1.0): Failed to read from zip file",
    );
    check(
        "Error: Failed to install provider\n\nError while installing hashicorp/aws v6.69.1: failed to calculate checksum\nfor registry.opentofu.org/hashicorp/aws 6.69.1 package at\n/m/terraform-provider-aws_6.69.1_linux_amd64.zip:\nzip: not a valid zip file",
        "a file is no package, as if it were cut or a web page: hashicorp/aws v6.69.1: zip: not a valid zip file",
    );
    check(
        "  failed to download from `http://127.0.0.1:1/config.json`\n\nCaused by:\n  [7] Could not connect to server (Failed to connect to 127.0.0.1 port 1)",
        "no connection to the server, or to the proxy, came about: http://127.0.0.1:1/config.json: [7]",
    );
}

#[test]
fn npms_words_for_a_certificate_come_with_the_address_and_the_reason() {
    for (code, reason) in [
        ("ERR_TLS_CERT_ALTNAME_INVALID", "Hostname/IP does not match certificate's altnames: IP: 127.0.0.1 is not in the cert's list:"),
        ("CERT_HAS_EXPIRED", "certificate has expired"),
        ("CERT_NOT_YET_VALID", "certificate is not yet valid"),
        ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to verify the first certificate"),
    ] {
        let said = format!(
            "npm error code {code}\nnpm error errno {code}\nnpm error request to https://127.0.0.1:1/tiny failed, reason: {reason}"
        );
        check(&said, &format!("the server's certificate is not accepted: request to https://127.0.0.1:1/tiny failed, reason: {reason}"));
    }
}

#[test]
fn credentials_in_an_address_are_not_shown() {
    let said =
        "npm error network request to https://me:secret@mirror.example.com/tiny failed, reason: getaddrinfo ENOTFOUND mirror.example.com";
    let found = fault(said).unwrap();
    assert!(!found.contains("secret") && found.contains("https://mirror.example.com/tiny"), "{found}");
}
