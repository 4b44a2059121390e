//! The applied configuration: the document, the rules that were imported beside it, and their version.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::jobs::Reexamination;
use super::keys::{self, Key, Listed};
use super::row::{Expect, Page, Row, Stored, TRANSACTION, Write, Written, parts_of, read};
use super::{Store, StoreError};
use crate::config::Config;
use crate::config::channel::renamed;
use crate::domain::event::millis;
use crate::domain::rule::{Rule, Scope};
use crate::domain::{ChannelName, RuleId};

const PARTITION: &str = "CONFIG";
/// An item holds 400 KB; this leaves room for its keys.
const CHUNK: usize = 300_000;

/// Which configuration applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Counts every change of the document or of the imported rules.
    pub version: u64,
    /// The version at which the document last changed: its chunks carry it.
    pub document: u64,
    /// How many chunks the document has.
    pub chunks: usize,
    /// The document's SHA-256, in hex.
    pub hash: String,
    /// When this version was applied.
    #[serde(with = "millis")]
    pub applied_at: Timestamp,
    /// Who applied it.
    pub by: String,
    /// The version at which the rules that were imported for more products than one last changed.
    #[serde(default)]
    pub rules: u64,
    /// The channels that have another name by now, by the one that they had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renamed: BTreeMap<ChannelName, ChannelName>,
}

/// Imported rules are written that no version has brought into force yet.
#[derive(Debug, Serialize, Deserialize)]
struct RulesWritten {
    by: String,
}

fn written_key() -> Key {
    Key::new(PARTITION, "rules")
}

fn head_key() -> Key {
    Key::new(PARTITION, "head")
}

/// A chunk belongs to one document of one version: of two who apply a different one at a time, the
/// one who comes too late leaves the other's as it is.
fn chunk_key(version: u64, hash: &str, chunk: usize) -> Key {
    let document: String = hash.chars().take(16).collect();
    Key::new(
        PARTITION,
        format!("document#{version:010}#{document}#{chunk:04}"),
    )
}

/// Over what a document is to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Whatever applies.
    Anything,
    /// Nothing: none was applied before.
    Nothing,
    /// This version.
    Version(u64),
}

impl Over {
    /// Whether this is what applies.
    pub fn holds(self, head: Option<&Head>) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => head.is_none(),
            Self::Version(version) => head.is_some_and(|head| head.version == version),
        }
    }
}

/// What became of a document that was to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It applies now.
    Done,
    /// It applied before.
    Already,
    /// Something else applies than what it was to be applied over.
    Overtaken,
}

impl Store {
    /// Which configuration applies, if any was ever applied.
    pub async fn config_head(&self) -> Result<Option<Stored<Head>>, StoreError> {
        self.get("read the configuration's version", &head_key())
            .await
    }

    /// The document of a version.
    pub async fn config_document(&self, head: &Head) -> Result<Config, StoreError> {
        const OPERATION: &str = "read the configuration";
        let mut text = String::new();
        for chunk in 0..head.chunks {
            let key = chunk_key(head.document, &head.hash, chunk);
            let part = self.get::<String>(OPERATION, &key).await?;
            text.push_str(&part.map(|part| part.data).unwrap_or_default());
        }
        Config::from_json(&text).map_err(|error| StoreError::Unreadable {
            operation: OPERATION,
            key: format!("{PARTITION} version {}", head.document),
            problem: error.to_string(),
        })
    }

    /// The rules that were imported with this scope, which is for more products than one.
    pub(crate) async fn shared_rules(&self, scope: &Scope) -> Result<Vec<Rule>, StoreError> {
        const OPERATION: &str = "read the imported rules";
        self.partition(OPERATION, &keys::shared_rules(scope), "")
            .await?
            .into_iter()
            .map(|(_, item)| Ok(read::<Rule>(OPERATION, item)?.data))
            .collect()
    }

    /// A page of all imported rules.
    pub async fn each_imported_rule(
        &self,
        cursor: Option<&str>,
        limit: i32,
    ) -> Result<Page<Rule>, StoreError> {
        self.sharded("list the imported rules", keys::rules_list, cursor, limit)
            .await?
            .try_map(|rule| rule)
    }

    /// Of these, the rules that were imported.
    pub async fn imported_rules(
        &self,
        wanted: &[(Scope, RuleId)],
    ) -> Result<Vec<Rule>, StoreError> {
        let keys = wanted
            .iter()
            .map(|(scope, id)| keys::rule_of(scope, id.as_str()));
        let mut keys: Vec<Key> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        const OPERATION: &str = "read imported rules";
        self.get_many(OPERATION, &keys)
            .await?
            .into_iter()
            // Of one that went to the product's new SKU nothing is left.
            .filter(|(kind, _)| kind == "rule")
            .map(|(_, item)| Ok(read::<Rule>(OPERATION, item)?.data))
            .collect()
    }

    /// Applies a document, whatever applied before; `false` if this very document applies already.
    pub async fn apply_config(&self, config: &Config, by: &str) -> Result<bool, StoreError> {
        let applied = self.apply_config_over(Over::Anything, config, by).await?;
        Ok(applied == Applied::Done)
    }

    /// Applies a document, if what applies is what it is to be applied over.
    ///
    /// The chunks come first and the head last, so a half-written document is never in force.
    pub async fn apply_config_over(
        &self,
        over: Over,
        config: &Config,
        by: &str,
    ) -> Result<Applied, StoreError> {
        const OPERATION: &str = "apply a configuration";
        let json = config
            .to_json()
            .map_err(|error| StoreError::aws(OPERATION, error))?;
        let hash = crate::digest::sha256_hex(json.as_bytes());
        for attempt in 0.. {
            let stored = self.config_head().await?;
            let standing = stored.as_ref().map(|stored| &stored.data);
            if standing.is_some_and(|head| head.hash == hash) {
                return Ok(Applied::Already);
            }
            if !over.holds(standing) {
                return Ok(Applied::Overtaken);
            }
            let version = standing.map_or(1, |head| head.version + 1);
            let chunks = parts_of(&json, CHUNK);
            for (index, chunk) in chunks.iter().enumerate() {
                let row = Row::new(chunk_key(version, &hash, index), "document", chunk)?;
                self.put(OPERATION, row, Expect::Anything).await?;
            }
            let head = Head {
                version,
                document: version,
                chunks: chunks.len(),
                hash: hash.clone(),
                applied_at: self.clock.now(),
                by: by.to_owned(),
                rules: standing.map_or(0, |head| head.rules),
                renamed: self.renamed(standing, config).await?,
            };
            let writes = self.in_force(&head, Expect::from_read(stored.as_ref()))?;
            if self.transact(OPERATION, writes.into()).await? == Written::Done {
                self.note_applied(version);
                return Ok(Applied::Done);
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// The channels that have another name by now, by the one that they had.
    async fn renamed(
        &self,
        standing: Option<&Head>,
        now: &Config,
    ) -> Result<BTreeMap<ChannelName, ChannelName>, StoreError> {
        let Some(standing) = standing else {
            return Ok(BTreeMap::new());
        };
        let before = match self.config_document(standing).await {
            // Of another version of the program.
            Err(StoreError::Unreadable { .. }) => return Ok(standing.renamed.clone()),
            before => before?.channels,
        };
        let mut known = standing.renamed.clone();
        for (old, new) in renamed(&before, &now.channels) {
            let to_here = known.values_mut().filter(|it| **it == old);
            to_here.for_each(|it| it.clone_from(&new));
            known.insert(old, new);
        }
        known.retain(|old, new| !now.channels.contains_key(old) && now.channels.contains_key(new));
        Ok(known)
    }

    /// Sets and removes imported rules, and brings them into force.
    pub async fn change_rules(
        &self,
        set: &[Rule],
        remove: &[Rule],
        by: &str,
    ) -> Result<(), StoreError> {
        self.write_rules(set, remove, by).await?;
        self.rules_in_force().await
    }

    /// Writes and removes imported rules.
    ///
    /// A rule for one product stands beside it, and its change is seen as any other change of the
    /// product. One for more of them is in force with a version that comes after it: until then
    /// [`Store::rules_in_force`] owes one, whatever becomes of the writer.
    pub async fn write_rules(
        &self,
        set: &[Rule],
        remove: &[Rule],
        by: &str,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "import rules";
        let (mut beside, mut single, mut shared) = (Vec::new(), Vec::new(), Vec::new());
        for rule in set {
            let row = rule_row(rule)?;
            match rule.scope.single_product() {
                Some(_) => beside.push(row),
                None => shared.push(Write::Put(row, Expect::Anything)),
            }
        }
        for rule in remove {
            let key = keys::rule_of(&rule.scope, rule.id.as_str());
            let list = match rule.scope.single_product() {
                Some(_) => &mut single,
                None => &mut shared,
            };
            list.push(Write::Delete(key, Expect::Anything));
        }
        // Each stands for itself: a repetition completes what a crash leaves undone.
        self.put_all(OPERATION, beside).await?;
        let mut batches: Vec<_> = single.chunks(TRANSACTION).map(<[Write]>::to_vec).collect();
        let by = by.to_owned();
        let owed = Row::new(written_key(), "rules_written", &RulesWritten { by })?;
        for batch in shared.chunks(TRANSACTION - 1) {
            let owed = Write::Put(owed.clone(), Expect::Anything);
            batches.push(batch.iter().cloned().chain([owed]).collect());
        }
        for batch in batches {
            let mut attempt = 0;
            while self.transact(OPERATION, batch.clone()).await? != Written::Done {
                self.after_conflict(OPERATION, attempt).await?;
                attempt += 1;
            }
        }
        Ok(())
    }

    /// A new version, by which everything is looked at, if imported rules wait for one.
    pub async fn rules_in_force(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "bring imported rules into force";
        for attempt in 0.. {
            let Some(owed) = self.get::<RulesWritten>(OPERATION, &written_key()).await? else {
                return Ok(());
            };
            let Some(stored) = self.config_head().await? else {
                return Err(StoreError::Unreadable {
                    operation: OPERATION,
                    key: PARTITION.to_owned(),
                    problem: "no configuration was applied yet".to_owned(),
                });
            };
            let mut head = stored.data;
            head.version += 1;
            head.rules = head.version;
            head.applied_at = self.clock.now();
            head.by = owed.data.by;
            let mut writes: Vec<_> = self
                .in_force(&head, Expect::Version(stored.version))?
                .into();
            writes.push(Write::Delete(owed.key, Expect::Anything));
            if self.transact(OPERATION, writes).await? == Written::Done {
                self.note_applied(head.version);
                return Ok(());
            }
            self.after_conflict(OPERATION, attempt).await?;
        }
        Err(StoreError::Contended {
            operation: OPERATION,
        })
    }

    /// A version comes into force, and with it, so that it cannot be forgotten, the job of looking
    /// at everything by it, and that of applying what waited for a name that it gives.
    fn in_force(&self, head: &Head, expect: Expect) -> Result<[Write; 3], StoreError> {
        let row = Row::new(head_key(), "config", head)?;
        let job = self.job_to_start(Reexamination::configuration())?;
        let names = self.new_names(head.version)?;
        Ok([Write::Put(row, expect), job, names])
    }
}

/// An imported rule's row, on the list of all. Whoever looks for it compares its scope as it stands.
pub(super) fn rule_row(rule: &Rule) -> Result<Row, StoreError> {
    let rule = &Rule {
        scope: rule.scope.folded(),
        ..rule.clone()
    };
    let key = keys::rule_of(&rule.scope, rule.id.as_str());
    let listed = Listed {
        list: keys::rules_list(keys::shard(rule.id.as_str(), keys::LIST_SHARDS)),
        place: rule.id.to_string(),
    };
    Ok(Row::new(key, "rule", rule)?.listed(listed))
}
