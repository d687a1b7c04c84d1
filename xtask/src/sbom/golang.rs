//! The modules that a Go program is built from, as `go version -m` prints them (go.dev/src/debug/buildinfo): the program itself holds them.

use std::io::{self, Read};

use crate::sbom::encoded;

/// Begins the block, at a multiple of 16 bytes.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The block has texts of its own, and no pointers, since Go 1.18.
const INLINE: u8 = 2;
const HEAD: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) version: String,
    /// The folder of the module that is meant; empty for all of it.
    folder: String,
}

impl Module {
    pub(super) fn purl(&self) -> String {
        let path: Vec<String> = self.name.split('/').map(encoded).collect();
        let folder = if self.folder.is_empty() { String::new() } else { format!("#{}", self.folder) };
        format!("pkg:golang/{}@{}{folder}", path.join("/"), encoded(&self.version))
    }
}

#[derive(Debug, Default)]
pub(super) struct Built {
    /// The package that the program is.
    path: String,
    main: Option<Module>,
    pub(super) modules: Vec<Module>,
}

impl Built {
    /// The program, by the module that its package is in: a module of its own may only name it as a tool.
    pub(super) fn program(&self) -> Module {
        let is_in = |it: &&Module| self.path.strip_prefix(&it.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let found = self.main.iter().chain(&self.modules).filter(is_in).max_by_key(|it| it.name.len());
        let module = found.cloned().unwrap_or(Module { name: self.path.clone(), version: String::new(), folder: String::new() });
        let folder = self.path.strip_prefix(&module.name).unwrap_or_default().trim_start_matches('/').to_owned();
        Module { version: if module.version.is_empty() { "(devel)".to_owned() } else { module.version }, folder, name: module.name }
    }
}

/// Reads a file to its end if it is a program; nothing for one that Go did not build.
pub(super) fn of_program(mut content: &mut dyn Read) -> io::Result<Option<Built>> {
    let mut bytes = Vec::new();
    (&mut content).take(4).read_to_end(&mut bytes)?;
    if bytes != b"\x7fELF" {
        return Ok(None);
    }
    content.read_to_end(&mut bytes)?;
    let places = (0..bytes.len() / 16).map(|it| it * 16).filter(|at| bytes[*at..].starts_with(MAGIC));
    Ok(places.filter(|at| bytes.get(at + 15).is_some_and(|it| it & INLINE != 0)).find_map(|at| parse(bytes.get(at + HEAD..)?)))
}

fn parse(bytes: &[u8]) -> Option<Built> {
    let (version, rest) = text(bytes)?;
    let version = std::str::from_utf8(version).ok()?.strip_prefix("go")?.split_whitespace().next()?.to_owned();
    let (lines, _) = text(rest)?;
    // Between marks of 16 bytes each.
    let lines = lines.get(16..lines.len().checked_sub(16)?)?;
    let mut out = Built::default();
    for line in String::from_utf8_lossy(lines).lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let module = |words: &[&str]| {
            let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
            Module { name: word(1), version: word(2), folder: String::new() }
        };
        match words[0] {
            "path" => out.path = words.get(1).copied().unwrap_or_default().to_owned(),
            "mod" => out.main = Some(module(&words)),
            "dep" => out.modules.push(module(&words)),
            // A folder in the place of a module has no address: the module keeps its name.
            "=>" if !module(&words).name.starts_with(['/', '.']) => {
                if let Some(last) = out.modules.last_mut() {
                    *last = module(&words);
                }
            }
            _ => {}
        }
    }
    out.modules.push(Module { name: "std".to_owned(), version, folder: String::new() });
    Some(out)
}

/// A text with its length before it, as a number of seven bits a byte.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0usize;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return bytes[at + 1..].split_at_checked(length);
        }
    }
    None
}
