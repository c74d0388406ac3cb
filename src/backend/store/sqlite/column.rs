//! Columns whose type the database does not know. What cannot be read back is a decoding error that names its column.

use crate::clock::from_micros;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use netsonde_contract::api::fleet::DeliveryState;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub(super) fn time(row: &SqliteRow, column: &'static str) -> sqlx::Result<Timestamp> {
    Ok(from_micros(row.try_get(column)?))
}

pub(super) fn count(row: &SqliteRow, column: &'static str) -> sqlx::Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|error| unreadable(column, error))
}

/// The place in what was asked, of a row that answers one of many questions.
pub(super) fn place(row: &SqliteRow) -> sqlx::Result<usize> {
    usize::try_from(row.try_get::<i64, _>("place")?).map_err(|error| unreadable("place", error))
}

pub(super) fn key(row: &SqliteRow, column: &'static str) -> sqlx::Result<VerifyingKey> {
    VerifyingKey::from_bytes(&digest(row, column)?).map_err(|error| unreadable(column, error))
}

/// Exactly 32 bytes.
pub(super) fn digest(row: &SqliteRow, column: &'static str) -> sqlx::Result<[u8; 32]> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|error| unreadable(column, error))
}

pub(super) fn digest_if_any(row: &SqliteRow, column: &'static str) -> sqlx::Result<Option<[u8; 32]>> {
    let there: Option<&[u8]> = row.try_get(column)?;
    there.map(|_| digest(row, column)).transpose()
}

pub(super) fn time_if_any(row: &SqliteRow, column: &'static str) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(from_micros))
}

pub(super) fn delivery_state(row: &SqliteRow, column: &'static str) -> sqlx::Result<DeliveryState> {
    let name: &str = row.try_get(column)?;
    DeliveryState::from_name(name).ok_or_else(|| unreadable(column, std::io::Error::other(format!("no state is called {name}"))))
}

pub(super) fn json<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> sqlx::Result<T> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| unreadable(column, error))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// A type that is one word in JSON, as that word.
pub(super) fn to_word<T: Serialize>(value: &T) -> sqlx::Result<String> {
    to_json(value).map(|json| json.trim_matches('"').to_owned())
}

pub(super) fn word<T: DeserializeOwned>(row: &SqliteRow, column: &'static str) -> sqlx::Result<Option<T>> {
    let word: Option<String> = row.try_get(column)?;
    word.map(|word| serde_json::from_value(word.into()).map_err(|error| unreadable(column, error))).transpose()
}

pub(super) fn to_signed(number: u64) -> sqlx::Result<i64> {
    i64::try_from(number).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

pub(super) fn unreadable(column: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) }
}
