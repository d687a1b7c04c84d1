//! Certificates that a client must refuse, and a server that shows them.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

/// Certificates by OpenSSL: of another host, of the past, of the future, and a right one, all by one authority.
const CERTIFICATES: &str = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 9 -subj /CN=authority 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj /CN=index 2>/dev/null
: > list
echo 01 > serial
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=list\nserial=serial\nnew_certs_dir=.\ncertificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n' > settings
sign() { echo subjectAltName=$2 > names; openssl ca -batch -config settings -in request -extfile names -notext -out $1.pem -startdate $3 -enddate $4 2>/dev/null; }
sign right IP:127.0.0.1 20200101000000Z 20950101000000Z
sign other DNS:other.example.com 20200101000000Z 20950101000000Z
sign past IP:127.0.0.1 20200101000000Z 20200201000000Z
sign future IP:127.0.0.1 20950101000000Z 20960101000000Z
";

/// An index over TLS with a certificate; prints its port.
const SERVER: &str = "import http.server, ssl, sys
class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'<a href=\"x/idna-1.0-py3-none-any.whl\">x</a>'
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Index)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";

/// A folder with the certificates and their authority, `ca.pem`.
pub(crate) fn made() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "makes files of the test")]
    let made = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(dir.path()).status().unwrap();
    assert!(made.success());
    dir
}

/// A process that ends with the test, however it ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: String,
}

impl Server {
    /// With the certificate of this name in the folder.
    pub(crate) fn start(folder: &Path, certificate: &str) -> Server {
        #[expect(clippy::disallowed_methods, reason = "a server of the test")]
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .arg(folder.join(format!("{certificate}.pem")))
            .arg(folder.join("key.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Server { child, port: port.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
