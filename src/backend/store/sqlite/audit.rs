use super::{Sqlite, column};
use crate::random;
use jiff::Timestamp;
use netsonde_contract::audit::{Entry, Head};
use netsonde_contract::bundle::hexadecimal;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

/// What was done, by whom, to what.
pub(super) struct Deed<'a> {
    pub(super) actor: &'a str,
    pub(super) action: &'a str,
    pub(super) subject: &'a str,
    pub(super) detail: &'a str,
    pub(super) about: About<'a>,
}

/// Whom a deed concerns, by id: its agents, or where it is about no agent alone, the order, ticket, code, draft or bundle. They alone get to read
/// it in their excerpt of the log.
#[derive(Clone, Copy)]
pub(super) enum About<'a> {
    Everybody,
    One(&'a str),
    /// An agent, and the one that took its place.
    Both(&'a str, &'a str),
}

impl About<'_> {
    fn ids(self) -> Vec<String> {
        match self {
            Self::Everybody => Vec::new(),
            Self::One(id) => vec![id.to_owned()],
            Self::Both(one, other) if one == other => vec![one.to_owned()],
            Self::Both(one, other) => vec![one.to_owned(), other.to_owned()],
        }
    }
}

/// Adds an entry within the transaction that does what it says, so that neither is there without the other.
pub(super) async fn append(connection: &mut SqliteConnection, at: Timestamp, deed: Deed<'_>) -> sqlx::Result<()> {
    append_all(connection, std::iter::once((at, deed))).await
}

const ADD: &str = "
    INSERT INTO audit (number, at, actor, action, subject, detail, about, salt, sha256)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8
    FROM json_each(?)";
/// Of an entry's salt.
const SALT_BYTES: usize = 16;

/// The same for many, in their order.
pub(super) async fn append_all(
    connection: &mut SqliteConnection,
    deeds: impl Iterator<Item = (Timestamp, Deed<'_>)>,
) -> sqlx::Result<()> {
    let deeds: Vec<_> = deeds.collect();
    if deeds.is_empty() {
        return Ok(());
    }
    let last =
        sqlx::query("SELECT number, sha256 FROM audit ORDER BY number DESC LIMIT 1").fetch_optional(&mut *connection).await?;
    let mut last = last.as_ref().map(read_head).transpose()?.unwrap_or(Head { number: 0, sha256: String::new() });
    let mut rows = Vec::with_capacity(deeds.len());
    let mut salts = vec![0; deeds.len() * SALT_BYTES];
    random::fill(&mut salts).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    for ((at, deed), salt) in deeds.iter().zip(salts.chunks_exact(SALT_BYTES)) {
        let mut entry = Entry {
            number: last.number + 1,
            at: *at,
            actor: deed.actor.to_owned(),
            action: deed.action.to_owned(),
            subject: deed.subject.to_owned(),
            detail: deed.detail.to_owned(),
            about: deed.about.ids(),
            salt: Some(hexadecimal(salt)),
            sha256: String::new(),
        };
        entry.sha256 = entry.hash(&last.sha256);
        last = Head { number: entry.number, sha256: entry.sha256.clone() };
        rows.push((
            column::to_signed(entry.number)?,
            at.as_microsecond(),
            entry.actor,
            entry.action,
            entry.subject,
            entry.detail,
            column::to_json(&entry.about)?,
            entry.salt,
            entry.sha256,
        ));
    }
    sqlx::query(ADD).bind(column::to_json(&rows)?).execute(connection).await.map(drop)
}

pub(super) async fn head(store: &Sqlite) -> sqlx::Result<Option<Head>> {
    let row = sqlx::query("SELECT number, sha256 FROM audit ORDER BY number DESC LIMIT 1").fetch_optional(&store.reader).await?;
    row.as_ref().map(read_head).transpose()
}

pub(super) async fn after(store: &Sqlite, after: u64, count: u32) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query("SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?")
        .bind(column::to_signed(after)?)
        .bind(count)
        .fetch_all(&store.reader)
        .await?;
    rows.iter().map(read).collect()
}

fn read_head(row: &SqliteRow) -> sqlx::Result<Head> {
    Ok(Head { number: column::count(row, "number")?, sha256: row.try_get("sha256")? })
}

fn read(row: &SqliteRow) -> sqlx::Result<Entry> {
    let Head { number, sha256 } = read_head(row)?;
    Ok(Entry {
        number,
        at: column::time(row, "at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        about: column::json(row, "about")?,
        salt: row.try_get("salt")?,
        sha256,
    })
}
