use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much is taken out before signing. A level that this version does not know counts as `strict`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    None,
    #[default]
    Default,
    #[serde(other)]
    Strict,
}

impl Level {
    pub const ALL: [(&'static str, Self); 3] = [("none", Self::None), ("default", Self::Default), ("strict", Self::Strict)];

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Default => "default",
            Self::Strict => "strict",
        }
    }
}

/// What redaction took out: `redaction.json` of the bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RedactionReport {
    pub level: Level,
    /// How many values were taken out, by reason (`header_value`, `query_string`, `user_info`, `token_in_path` …).
    pub removed: BTreeMap<String, u64>,
}
