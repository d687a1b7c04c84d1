//! What a cluster costs about, from one dated file.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::config::ClusterType;

const FILE: &str = include_str!("prices.toml");

#[derive(Debug, Deserialize)]
struct File {
    read_on: String,
    #[serde(flatten)]
    clouds: BTreeMap<String, List>,
}

#[derive(Debug, Deserialize)]
struct List {
    region: String,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    what: String,
    a_day: f64,
}

/// The price of an idle cluster.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Price {
    /// US dollars a day.
    pub(super) a_day: f64,
    region: String,
    read_on: String,
    parts: Vec<String>,
}

impl Price {
    pub(super) fn of(kind: ClusterType) -> Result<Price> {
        let mut file: File = toml::from_str(FILE).context("read the prices")?;
        let list = file.clouds.remove(kind.name()).with_context(|| format!("there are no prices for {kind}"))?;
        let parts = list.items.iter().filter(|it| it.a_day > 0.0).map(|it| format!("{} {:.2}", it.what, it.a_day)).collect();
        Ok(Price { a_day: list.items.iter().map(|it| it.a_day).sum(), region: list.region, read_on: file.read_on, parts })
    }

    /// `about $5.46 a day (list prices of us-east-1, read on 2026-11-27: control plane 2.40, …)`.
    pub(super) fn words(&self) -> String {
        format!("about ${:.2} a day (list prices of {}, read on {}: {})", self.a_day, self.region, self.read_on, self.parts.join(", "))
    }

    /// What it has cost after this time: `about $1.20`.
    pub(super) fn so_far(&self, age: Duration) -> String {
        format!("about ${:.2}", self.a_day * age.as_secs_f64() / 86_400.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cloud_has_a_price_with_its_parts_and_a_date() {
        for kind in [ClusterType::Eks, ClusterType::Aks, ClusterType::Gke] {
            let price = Price::of(kind).unwrap();
            assert!((2.0..8.0).contains(&price.a_day), "{price:?}");
            assert!(price.read_on.parse::<jiff::civil::Date>().is_ok(), "{price:?}");
            assert!(price.words().starts_with("about $") && price.words().contains(&price.parts[0]), "{}", price.words());
        }
        let price = Price { a_day: 4.8, region: String::new(), read_on: String::new(), parts: Vec::new() };
        assert_eq!(price.so_far(Duration::from_secs(6 * 3600)), "about $1.20");
    }
}
