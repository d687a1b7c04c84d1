//! The JSON of a fingerprint: `{"parts": [["name", "digest"], …]}`. Each string goes where it stays, since a record may have 20,000 of them.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error, SeqAccess, Visitor},
    ser::SerializeStruct as _,
};

use super::Fingerprint;

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        struct All<'a>(&'a Fingerprint);
        impl Serialize for All<'_> {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_seq(self.0.parts())
            }
        }
        let mut out = to.serialize_struct("Fingerprint", 1)?;
        out.serialize_field("parts", &All(self))?;
        out.end()
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fingerprint, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            parts: All,
        }
        struct All(Fingerprint);
        impl<'de> Deserialize<'de> for All {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<All, D::Error> {
                let mut out = Fingerprint::default();
                from.deserialize_seq(List(&mut out))?;
                Ok(All(out))
            }
        }
        Ok(Whole::deserialize(from)?.parts.0)
    }
}

/// The list of the parts.
struct List<'a>(&'a mut Fingerprint);

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list of names with digests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Part(self.0))?.is_some() {
            self.0.count += 1;
        }
        Ok(())
    }
}

/// A name and its digest.
struct Part<'a>(&'a mut Fingerprint);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_tuple(2, self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a name and its digest")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for index in 0..2 {
            list.next_element_seed(Text(self.0))?.ok_or_else(|| A::Error::invalid_length(index, &"a name and its digest"))?;
        }
        Ok(())
    }
}

/// A string of a part.
struct Text<'a>(&'a mut Fingerprint);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Text<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.0.parts.extend_from_slice(&text.len().to_le_bytes());
        self.0.parts.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_back_as_it_was_and_what_is_none_is_refused() {
        let mut all = Fingerprint::new();
        all.add("a \"quoted\" ü\n", "x");
        all.add("", "");
        assert_eq!(serde_json::from_slice::<Fingerprint>(&all.to_json().unwrap()).unwrap(), all);
        assert_eq!(serde_json::from_value::<Fingerprint>(serde_json::to_value(&all).unwrap()).unwrap(), all);
        let of = |text: &str| Fingerprint::from_json(text.as_bytes());
        let two = of(r#"{"parts":[["a","1"],["b","2"]]}"#).unwrap();
        assert_eq!((two.len(), two.parts().collect::<Vec<_>>()), (2, vec![("a", "1"), ("b", "2")]));
        assert_eq!(of(r#"{"parts":[]}"#), Some(Fingerprint::new()));
        for text in [r#"{"parts":[["a"]]}"#, r#"{"parts":[["a","1","2"]]}"#, r#"{"parts":[["a",1]]}"#, r#"{"parts":{}}"#, "{}", "[]", ""] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
