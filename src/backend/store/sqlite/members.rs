//! Who an agent is, for many at a time.

use super::{Sqlite, column};
use crate::store::{Member, Standing};
use netsonde_contract::api::protocol::Protocol;
use netsonde_contract::id::AgentId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// An id is looked for before transport keys are, and of the agents that had a transport key the one that is not replaced comes first. `CROSS JOIN`
/// tells SQLite to begin with what is asked.
const FIND: &str = "
    SELECT place, id, bundle_key, transport_key, cloned, revoked, replaced_by, replaced,
        check_in ->> 'protocol' AS protocol FROM (
        SELECT asked.key AS place, 0 AS rank, agents.* FROM json_each(?1) AS asked CROSS JOIN agents ON agents.id = asked.value
        UNION ALL
        SELECT asked.key, 1, agents.* FROM json_each(?1) AS asked CROSS JOIN agents ON agents.transport_key_id = asked.value
    ) ORDER BY place, rank, replaced_by IS NOT NULL, enrolled DESC";

pub(super) async fn find(store: &Sqlite, keys: &[String]) -> sqlx::Result<Vec<Option<Member>>> {
    let rows = sqlx::query(FIND).bind(column::to_json(&keys)?).fetch_all(&store.reader).await?;
    let mut found = vec![None; keys.len()];
    for row in &rows {
        if let Some(free) = found.get_mut(column::place(row)?).filter(|place| place.is_none()) {
            *free = Some(read(row)?);
        }
    }
    Ok(found)
}

fn read(row: &SqliteRow) -> sqlx::Result<Member> {
    let replaced_by: Option<&str> = row.try_get("replaced_by")?;
    let replaced = replaced_by.map(|_| column::time(row, "replaced")).transpose()?;
    Ok(Member {
        id: AgentId::new(row.try_get::<String, _>("id")?),
        bundle_key: column::digest(row, "bundle_key")?,
        transport_key: column::key(row, "transport_key")?,
        standing: Standing {
            cloned: row.try_get("cloned")?,
            revoked: row.try_get("revoked")?,
            replaced,
            protocol: row.try_get::<Option<u32>, _>("protocol")?.map_or_else(Protocol::default, Protocol::new),
        },
    })
}
