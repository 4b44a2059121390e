//! What a file would change, without changing it: both readings of a run, with what is held given
//! instead of read from the table, and nothing applied.

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use shared::config::connector::ConnectorSettings;
use shared::domain::Position;
use shared::domain::id::ConnectorName;
use shared::feeds::delimited::Reader;
use shared::feeds::evidence::FeedError;
use shared::installation::Installation;
use shared::store::stated::{Item, Stated};

use crate::absence::{Compared, Comparison};
use crate::examine::{ExamineError, examine, key_of};
use crate::flaw::NOT_STOCKED;
use crate::repeated::{Combined, Gathered, Part};
use crate::rows::Reading;
use crate::snapshot::Met;
use crate::totals::Totals;

/// What a file would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// Rows that say what is held.
    pub known: u64,
    /// Rows that say something else, or something new.
    pub differing: u64,
    /// Rows that cannot be taken.
    pub unusable: u64,
    /// What is held and the file does not have.
    pub absent: u64,
}

/// Why a file cannot be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The connector is none that reads files.
    #[error("connector `{0}` reads no files")]
    NoFiles(ConnectorName),
    /// The connector's format contradicts itself.
    #[error("the format of connector `{connector}`: {problem}")]
    Format {
        /// Which connector.
        connector: ConnectorName,
        /// What is wrong.
        problem: String,
    },
    /// The file.
    #[error("{0}")]
    File(String),
}

impl From<ExamineError> for RehearsalError {
    fn from(error: ExamineError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<FeedError> for RehearsalError {
    fn from(error: FeedError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<std::io::Error> for RehearsalError {
    fn from(error: std::io::Error) -> Self {
        Self::File(error.to_string())
    }
}

/// Reads a file of this connector, written then, against what is held.
pub async fn rehearse(
    installation: &Installation,
    connector: &ConnectorName,
    file: &Path,
    written_at: Timestamp,
    held: impl IntoIterator<Item = Position>,
) -> Result<Rehearsal, RehearsalError> {
    let no_files = || RehearsalError::NoFiles(connector.clone());
    let known = installation.config.connectors.get(connector);
    let known = known.ok_or_else(no_files)?;
    let ConnectorSettings::Files(files) = &known.settings else {
        return Err(no_files());
    };
    let format = files.format.get().map_err(|error| RehearsalError::Format {
        connector: connector.clone(),
        problem: error.to_string(),
    })?;
    let reading = Reading::new(installation, (&known.common, files), written_at, None);
    let mut examined = examine(file, &format, &reading, |_, _, unusable| unusable).await?;
    let mut compared = Compared::default();
    let authority = installation.authority();
    let comparison = Comparison {
        source: connector,
        authority: &authority,
        sayable: &examined.sayable,
        snapshot_at: reading.snapshot_at(),
        covers: true,
    };
    for position in held {
        let stated = Stated::now(Item::Position {
            product: position.product.clone(),
            location: position.location.clone(),
        });
        comparison.position(&position, stated, &mut examined.snapshot, &mut compared);
    }
    let mut rehearsal = Rehearsal {
        absent: compared.absent.len() as u64,
        ..Rehearsal::default()
    };
    let mut gathered = Gathered::default();
    let mut totals = Totals::default();
    for row in Reader::open(File::open(file)?, &format)? {
        let Ok(row) = row else {
            rehearsal.unusable += 1;
            continue;
        };
        let statement = totals.statement(&reading, &row);
        let met = key_of(&statement).map(|key| (key, examined.snapshot.meet(key)));
        if let Some((key, Met::OneOf(rows))) = met {
            let part = Part {
                line: row.line(),
                text: String::new(),
                statement: statement.ok(),
            };
            match gathered.add(key, rows, part, files.repeated) {
                None => {}
                Some(Combined::One(..)) => rehearsal.differing += 1,
                Some(Combined::Conflict(parts)) => rehearsal.unusable += parts.len() as u64,
            }
            continue;
        }
        *match (statement, met) {
            (Err(flaw), _) if flaw.reason == NOT_STOCKED => continue,
            (Ok(_), Some((_, Met::Known | Met::Again))) => &mut rehearsal.known,
            (Ok(_), Some((_, Met::Differs))) => &mut rehearsal.differing,
            _ => &mut rehearsal.unusable,
        } += 1;
    }
    Ok(rehearsal)
}

#[cfg(test)]
mod tests {
    use shared::config::Config;
    use shared::domain::event::{Level, Version};
    use shared::domain::position::{PositionChange, Sources};

    use super::*;

    const CONFIG: &str = r#"
[account]
name = "Test"
zone = "UTC"
currency = "EUR"
[locations.main]
name = "Main"
kind = "warehouse"
[connectors.erp]
kind = "files"
url = "/nowhere"
[connectors.shop]
kind = "generic"
[connectors.shop.webhook]
secret = "env:SHOP"
"#;

    fn held(sku: &str, on_hand: i64) -> Position {
        let level = PositionChange::Level {
            called: None,
            source: "erp".parse().unwrap(),
            level: Level {
                on_hand,
                ..Level::default()
            },
            version: Version::at(Timestamp::UNIX_EPOCH),
        };
        let unknown = Position::unknown(sku.parse().unwrap(), "main".parse().unwrap());
        unknown.after(&level, &Sources::default()).unwrap().unwrap()
    }

    fn installation() -> Installation {
        let config = Config::check(CONFIG, "test.toml").unwrap();
        Installation::new(1, config).unwrap()
    }

    #[tokio::test]
    async fn each_row_is_known_or_differs_or_cannot_be_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stock.csv");
        std::fs::write(&file, "sku,on_hand\nA,1\nB,2\nC,3\nC,4\nD,many\nG,5\n").unwrap();
        let stock = [held("A", 1), held("B", 7), held("E", 5), held("F", 0)];
        let rehearsal = rehearse(
            &installation(),
            &"erp".parse().unwrap(),
            &file,
            Timestamp::UNIX_EPOCH,
            stock,
        )
        .await
        .unwrap();
        let expected = Rehearsal {
            known: 1,     // A
            differing: 2, // B, and G, which is new
            unusable: 3,  // the two rows of C, and D
            absent: 1,    // E; of F there is nothing left anyway
        };
        assert_eq!(rehearsal, expected);
    }

    #[tokio::test]
    async fn a_connector_without_files_is_refused() {
        let nowhere = Path::new("/nowhere");
        let shop: ConnectorName = "shop".parse().unwrap();
        let at = Timestamp::UNIX_EPOCH;
        let refused = rehearse(&installation(), &shop, nowhere, at, []).await;
        assert!(matches!(refused, Err(RehearsalError::NoFiles(name)) if name == shop));
    }
}
