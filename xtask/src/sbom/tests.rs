//! Packages of each kind by their files, and the document.

use super::*;

fn of(files: &[(&str, &[u8])]) -> Vec<(String, Vec<String>)> {
    let mut contents = Contents::default();
    files.iter().for_each(|(name, content)| contents.file(name, &mut &**content).unwrap());
    contents.packages().into_iter().map(|it| (it.purl, it.places.into_iter().collect())).collect()
}

fn purls(files: &[(&str, &[u8])]) -> Vec<String> {
    of(files).into_iter().map(|it| it.0).collect()
}

const STATUS: &[u8] = b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\nPackage: libstdc++6\nStatus: install ok unpacked\nArchitecture: amd64\nVersion: 1:14.2\n";

#[test]
fn debian_packages_that_are_there_have_the_release_of_their_own_root() {
    let files: [(&str, &[u8]); 4] = [
        ("var/lib/dpkg/status", STATUS),
        ("usr/lib/os-release", b"ID=debian\nVERSION_CODENAME=trixie\n"),
        ("opt/layers/1/fs/usr/lib/os-release", b"VERSION_CODENAME=\"bookworm\"\n"),
        ("opt/layers/1/fs/var/lib/dpkg/status", b"Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"),
    ];
    let expected = [
        "pkg:deb/debian/a@1?arch=all&distro=bookworm",
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=trixie",
        "pkg:deb/debian/libstdc%2B%2B6@1%3A14.2?arch=amd64&distro=trixie",
    ];
    assert_eq!(purls(&files), expected);
}

#[test]
fn packages_of_python_and_node_are_named_as_their_registries_name_them() {
    let files: [(&str, &[u8]); 6] = [
        ("srv/packages/Foo_Bar-1.dist-info/METADATA", b"Name: Foo_Bar\nVersion: 1.0\nLicense: MIT\n\nName: other\n"),
        ("srv/packages/x/METADATA", b"Name: no\nVersion: 1\n"),
        ("app/node_modules/@scope/a/package.json", br#"{"name": "@scope/a", "version": "2.0.0", "license": "ISC"}"#),
        ("app/node_modules/b/package.json", br#"{"name": "b", "version": "3.0.0"}"#),
        ("other/node_modules/b/package.json", br#"{"name": "b", "version": "3.0.0"}"#),
        ("app/node_modules/b/test/package.json", br#"{"name": "c", "version": "1"}"#),
    ];
    let found = of(&files);
    let names: Vec<&str> = found.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names, ["pkg:npm/%40scope/a@2.0.0", "pkg:npm/b@3.0.0", "pkg:pypi/foo-bar@1.0"]);
    assert_eq!(found[1].1, ["/app/node_modules/b/package.json", "/other/node_modules/b/package.json"]);
}

/// A program with the block that Go's linker writes.
fn program(lines: &str) -> Vec<u8> {
    let mut out = b"\x7fELF".to_vec();
    out.resize(64, 0);
    out.extend(b"\xff Go buildinf:\x08\x02");
    out.resize(96, 0);
    let mark = [7; 16];
    for text in [b"go1.26.8".to_vec(), [&mark[..], lines.as_bytes(), &mark].concat()] {
        let mut length = text.len();
        while length > 0x7f {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        out.extend(text);
    }
    out
}

#[test]
fn a_program_of_go_names_its_modules_and_what_replaces_them() {
    let lines = "path\tk8s.io/kubernetes/cmd/kubelet\nmod\tpocdeploy/images\t(devel)\t\n=>\t/tmp/x\t(devel)\t\ndep\tk8s.io/kubernetes\tv1.36.0\th1:x=\ndep\ta.example/b\tv1.0.0\n=>\tc.example/d\tv2.0.0\th1:y=\nbuild\t-trimpath=true\n";
    let expected = [
        "pkg:golang/c.example/d@v2.0.0",
        "pkg:golang/k8s.io/kubernetes@v1.36.0",
        "pkg:golang/k8s.io/kubernetes@v1.36.0#cmd/kubelet",
        "pkg:golang/std@1.26.8",
    ];
    assert_eq!(purls(&[("usr/bin/kubelet", &program(lines))]), expected);
    // Cut anywhere it is no program of Go, or one with fewer modules.
    let whole = program(lines);
    (0..whole.len()).for_each(|at| drop(purls(&[("x", &whole[..at])])));
}

#[test]
fn the_document_is_the_same_for_the_same_image_and_names_its_digest_and_patches() {
    let mut contents = Contents::default();
    contents.file("var/lib/dpkg/status", &mut &*STATUS).unwrap();
    let image = Image { reference: "localhost/x/Polls:1-2", id: "sha256:00ff" };
    let application = Application {
        name: "django-polls".to_owned(),
        version: "1.0".to_owned(),
        license: "MIT".to_owned(),
        source: "pkg:pypi/django-polls@1.0".to_owned(),
        patches: vec![("0001 x.patch".to_owned(), "--- a\n+++ b\n".to_owned())],
    };
    let it = document(&image, &contents, Some(&application));
    assert_eq!(it, document(&image, &contents, Some(&application)));
    assert_eq!(it["metadata"]["component"]["hashes"][0]["content"], "00ff");
    assert_eq!(it["metadata"]["component"]["purl"], "pkg:oci/polls@sha256%3A00ff?tag=1-2");
    let own = &it["components"][0];
    assert_eq!(own["pedigree"]["patches"][0]["diff"]["text"]["content"], "--- a\n+++ b\n");
    assert_eq!(own["pedigree"]["ancestors"][0]["purl"], "pkg:pypi/django-polls@1.0");
    assert_ne!(it["serialNumber"], document(&image, &contents, None)["serialNumber"]);
}
