//! YAML as kubectl reads it: a `---` line separates documents, and plain scalars follow YAML 1.1 as in go.yaml.in/yaml/v2.
//!
//! kubectl 1.36 uses k8s.io/apimachinery v0.36.0, sigs.k8s.io/yaml v1.6.0 and go.yaml.in/yaml/v2 v2.4.3. The rules are those of
//! `YAMLReader.Read`, `resolve` and `merge`; `tests/fixtures/kubectl_yaml` has their results. Two things that kubectl silently drops are
//! errors here: a duplicate key, and text after a `...` line without a `---` line.

mod scalar;

use std::{collections::HashMap, rc::Rc};

use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput};
use serde_json::{Map, Value};

use crate::deploy::yaml::scalar::{scalar, short};

/// The maximum number of nodes in a document, including copies through aliases. The largest public operator releases have about 100,000.
const NODES: usize = 500_000;

/// The maximum number of mappings and lists inside each other, as for JSON objects from an API server (serde_json); reading recurses.
const DEPTH: usize = 127;

/// A document with content.
#[derive(Debug, PartialEq)]
pub struct Document {
    /// The line of its first content, counted from 1.
    pub line: usize,
    /// The lines of the items in its top-level `items`.
    pub items: Vec<usize>,
    pub value: Value,
}

/// An object as text. The error is that kubectl would read another value from the text.
pub fn text(value: &Value) -> Result<String, String> {
    let text = serde_saphyr::to_string(value).map_err(|error| error.to_string())?;
    match documents(&text) {
        Ok(found) if found.len() == 1 && found[0].value == *value => Ok(text),
        _ => Err(format!("kubectl would read another value from: {text}")),
    }
}

/// Why a stream cannot be parsed.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    pub what: String,
}

/// All documents of a stream in order, without empty ones.
pub fn documents(text: &str) -> Result<Vec<Document>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{')
        && let Some(found) = json(text)
    {
        return Ok(found);
    }
    let mut out = Vec::new();
    for (first, part) in split(text)? {
        out.extend(document(part, first)?);
    }
    Ok(out)
}

/// A sequence of JSON objects; `None` if the text is not JSON.
fn json(text: &str) -> Option<Vec<Document>> {
    let mut out = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    loop {
        let rest = &text[stream.byte_offset()..];
        let before = text.len() - rest.trim_start().len();
        let Some(value) = stream.next() else { return Some(out) };
        let line = text[..before].matches('\n').count() + 1;
        out.push(Document { line, items: Vec::new(), value: value.ok()? });
    }
}

/// The documents' texts, each with the number of lines before it. Every line that starts with `---` separates two documents, even in a
/// block scalar; only a comment may follow on this line.
fn split(text: &str) -> Result<Vec<(usize, &str)>, Fault> {
    let mut out = Vec::new();
    let (mut from, mut before, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let end = at + line.len();
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                let what = format!("`---` ends a document, and nothing but a comment can follow it on its line: {}", short(rest));
                return Err(Fault { line: number + 1, what });
            }
            out.push((before, &text[from..at]));
            (from, before) = (end, number + 1);
        }
        at = end;
    }
    out.push((before, &text[from..]));
    Ok(out)
}

/// The document of a text, if it has content.
fn document(text: &str, before: usize) -> Result<Option<Document>, Fault> {
    let options = granit_parser::options! { emit_comments: false };
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(text, options),
        before,
        anchors: HashMap::new(),
        open: Vec::new(),
        deepest: 0,
        nodes: 0,
        items: Vec::new(),
    };
    let mut found = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(..), span) if found.is_some() => {
                let what = "`...` ends the document: what follows it needs a `---` line, or kubectl passes over it without a word";
                return Err(Fault { line: reader.line(&span), what: what.to_owned() });
            }
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (event, span) => found = Some((reader.line(&span), reader.node(event, &span, Place::Root)?)),
        }
    }
    let items = std::mem::take(&mut reader.items);
    Ok(found.filter(|(_, node)| !node.value.is_null()).map(|(line, node)| Document { line, items, value: into_value(node) }))
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    before: usize,
    anchors: HashMap<usize, Rc<Node>>,
    /// Anchors whose values are being read, which must not contain themselves.
    open: Vec<usize>,
    /// How deep the value that is being read went so far, also through aliases.
    deepest: usize,
    nodes: usize,
    items: Vec<usize>,
}

/// The position of a value in a document, as far as needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// The top-level `items`, whose items' lines are recorded.
    Items,
    Inner,
}

/// A value, its number of nodes, and how many values are inside each other.
struct Node {
    value: Value,
    size: usize,
    depth: usize,
}

/// The value itself, without a copy if no anchor shares it.
fn into_value(node: Rc<Node>) -> Value {
    Rc::try_unwrap(node).map_or_else(|shared| shared.value.clone(), |it| it.value)
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.parser.next_event() {
            Some(Ok(it)) => Ok(it),
            Some(Err(error)) => {
                // The parser's own message repeats the place.
                let what = error.kind().to_string();
                Err(Fault { line: self.before + error.marker().line(), what })
            }
            None => Ok((Event::StreamEnd, Span::empty(granit_parser::Marker::new(0, 1, 0)))),
        }
    }

    fn line(&self, span: &Span) -> usize {
        self.before + span.start.line()
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > NODES {
            return Err(Fault { line, what: format!("with its aliases the document has more than {NODES} values") });
        }
        Ok(())
    }

    fn reach(&mut self, depth: usize, line: usize) -> Result<(), Fault> {
        self.deepest = self.deepest.max(depth);
        if depth > DEPTH {
            return Err(Fault { line, what: format!("more than {DEPTH} mappings and lists are inside each other") });
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: &Span, place: Place) -> Result<Rc<Node>, Fault> {
        let line = self.line(span);
        let started = self.nodes;
        let before = std::mem::replace(&mut self.deepest, self.open.len());
        let (value, anchor) = match event {
            Event::Alias(id) => {
                if self.open.contains(&id) {
                    return Err(Fault { line, what: "the value of an anchor holds itself".to_owned() });
                }
                let Some(found) = self.anchors.get(&id).cloned() else {
                    return Err(Fault { line, what: "an alias of an unknown anchor".to_owned() });
                };
                self.count(found.size, line)?;
                self.reach(self.open.len() + found.depth, line)?;
                self.deepest = self.deepest.max(before);
                return Ok(found);
            }
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref()).map_err(|what| Fault { line, what })?, anchor),
            Event::SequenceStart(_, anchor, _) => {
                self.open.push(anchor);
                self.reach(self.open.len(), line)?;
                let mut out = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => {
                            if place == Place::Items {
                                self.items.push(self.before + span.start.line());
                            }
                            out.push(into_value(self.node(event, &span, Place::Inner)?));
                        }
                    }
                }
                self.open.pop();
                (Value::Array(out), anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                self.open.push(anchor);
                self.reach(self.open.len(), line)?;
                let out = self.mapping(place)?;
                self.open.pop();
                (Value::Object(out), anchor)
            }
            _ => return Err(Fault { line, what: "a value is missing".to_owned() }),
        };
        self.count(1, line)?;
        let node = Rc::new(Node { value, size: self.nodes - started, depth: self.deepest - self.open.len() });
        self.deepest = self.deepest.max(before);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        Ok(node)
    }

    fn mapping(&mut self, place: Place) -> Result<Map<String, Value>, Fault> {
        let mut out = Map::new();
        // The line of each key, except keys from a merge.
        let mut written: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let line = self.line(&span);
            if matches!(event, Event::MappingEnd) {
                return Ok(out);
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, &span, Place::Inner)?;
            let (event, span) = self.next()?;
            if merges {
                let value = self.node(event, &span, Place::Inner)?;
                merge(&mut out, &value.value).map_err(|what| Fault { line, what })?;
                continue;
            }
            let name = key_text(&key.value).map_err(|what| Fault { line, what })?;
            if let Some(earlier) = written.insert(name.clone(), line) {
                return Err(Fault { line, what: format!("duplicate key {}: first on line {earlier}", short(&name)) });
            }
            let below = if place == Place::Root && name == "items" { Place::Items } else { Place::Inner };
            out.insert(name, into_value(self.node(event, &span, below)?));
        }
    }
}

/// Merges a merge key's value. Unlike in YAML's specification, it overrides keys before it (go.yaml.in/yaml/v2).
fn merge(into: &mut Map<String, Value>, value: &Value) -> Result<(), String> {
    match value {
        Value::Object(map) => into.extend(map.clone()),
        // Earlier items have priority.
        Value::Array(all) if all.iter().all(Value::is_object) => all.iter().rev().try_for_each(|it| merge(into, it))?,
        _ => return Err("`<<` takes a mapping or a list of mappings".to_owned()),
    }
    Ok(())
}

/// JSON keys are strings: `on` is the key `true`, and `0440` the key `288`.
fn key_text(key: &Value) -> Result<String, String> {
    match key {
        Value::String(it) => Ok(it.clone()),
        // Go formats very small and large numbers differently.
        Value::Number(it) if it.is_f64() && !it.as_f64().is_some_and(|it| (1e-4..1e6).contains(&it.abs())) => {
            Err(format!("key {it} is a number with an exponent: put it in quotes"))
        }
        Value::Bool(_) | Value::Number(_) => Ok(key.to_string()),
        Value::Null => Err("a key is empty or `null`".to_owned()),
        _ => Err("a key is a list or a mapping".to_owned()),
    }
}

#[cfg(test)]
mod tests;
