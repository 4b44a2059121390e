//! A local or mounted directory.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;

use super::disk::blocking;
use super::landing::{Landing, too_large};
use super::pickup::PROCESSING;
use super::transport::{
    Claimed, Entry, Fault, FileSource, SIDECAR_LIMIT, TransferError, check_name,
};

/// A directory on this machine.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens a directory that exists.
    pub fn open(path: &Path) -> Result<Self, TransferError> {
        let action = format!("open folder {}", path.display());
        let root = path
            .canonicalize()
            .map_err(|error| TransferError::io(&action, &error))?;
        if !root.is_dir() {
            let problem = "it is not a directory";
            return Err(TransferError::new(Fault::NotFound, action, problem));
        }
        Ok(Self { root })
    }

    fn path(&self, name: &str) -> Result<PathBuf, TransferError> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    /// Opens a plain file and says how large it is.
    fn file(&self, name: &str, action: &str, limit: u64) -> Result<(fs::File, u64), TransferError> {
        let path = self.path(name)?;
        let failed = |error| TransferError::io(action, &error);
        let metadata = blocking(|| fs::symlink_metadata(&path)).map_err(failed)?;
        if !metadata.is_file() {
            return Err(TransferError::new(
                Fault::Refused,
                action,
                "it is not a plain file",
            ));
        }
        if metadata.len() > limit {
            return Err(too_large(action, limit));
        }
        let file = blocking(|| fs::File::open(&path)).map_err(failed)?;
        Ok((file, metadata.len()))
    }
}

#[async_trait]
impl FileSource for Folder {
    async fn list(&mut self) -> Result<Vec<Entry>, TransferError> {
        blocking(|| entries(&self.root))
    }

    async fn list_claimed(&mut self) -> Result<Vec<Entry>, TransferError> {
        match blocking(|| entries(&self.root.join(PROCESSING))) {
            Err(error) if error.fault == Fault::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    async fn download(
        &mut self,
        name: &str,
        into: &Path,
        limit: u64,
    ) -> Result<u64, TransferError> {
        let action = format!("copy {name} from {}", self.root.display());
        let (mut file, size) = self.file(name, &action, limit)?;
        let mut landing = Landing::create(into, limit, &action).await?;
        let mut chunk = vec![0; 64 << 10];
        let received = loop {
            match blocking(|| file.read(&mut chunk)) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    if let Err(error) = landing.write(&chunk[..count]).await {
                        break Err(error);
                    }
                }
                Err(error) => break Err(TransferError::io(&action, &error)),
            }
        };
        landing.finish(received, Some(size)).await
    }

    async fn read_small(&mut self, name: &str) -> Result<Vec<u8>, TransferError> {
        let action = format!("read {name} from {}", self.root.display());
        let (file, _) = self.file(name, &action, SIDECAR_LIMIT)?;
        let mut bytes = Vec::new();
        let read = blocking(|| file.take(SIDECAR_LIMIT).read_to_end(&mut bytes));
        read.map_err(|error| TransferError::io(&action, &error))?;
        Ok(bytes)
    }

    async fn rename(&mut self, from: &str, to: &str) -> Result<Claimed, TransferError> {
        let action = format!("move {from} to {to} in {}", self.root.display());
        let failed = |error: io::Error| TransferError::io(&action, &error);
        let (source, target) = (self.path(from)?, self.path(to)?);
        // Two workers race for the source, which only one of them can move; this check keeps
        // an older file of the same name.
        let taken = blocking(|| {
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            let taken = target.try_exists()?;
            if !taken {
                fs::rename(&source, &target)?;
            }
            Ok(taken)
        });
        if taken.map_err(failed)? {
            return Err(TransferError::new(
                Fault::Refused,
                action,
                "the new name is taken",
            ));
        }
        Ok(Claimed::Yes)
    }

    async fn close(self: Box<Self>) {}
}

fn entries(directory: &Path) -> Result<Vec<Entry>, TransferError> {
    let action = format!("list {}", directory.display());
    let failed = |error: io::Error| TransferError::io(&action, &error);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A file may vanish between listing and looking; then it is none of ours.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        // Names that are not UTF-8 could not be asked for again.
        if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
            let modified = metadata.modified().ok();
            found.push(Entry {
                name,
                size: Some(metadata.len()),
                modified: modified.and_then(|time| Timestamp::try_from(time).ok()),
                tag: None,
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Folder) {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(directory.path()).unwrap();
        (directory, folder)
    }

    #[tokio::test]
    async fn lists_plain_files_only() {
        let (directory, mut folder) = place();
        std::fs::write(directory.path().join("a.csv"), "vin\n").unwrap();
        std::fs::create_dir(directory.path().join("archive")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link.csv")).unwrap();
        let listing = folder.list().await.unwrap();
        assert_eq!(listing.len(), 1);
        assert_eq!(
            (listing[0].name.as_str(), listing[0].size),
            ("a.csv", Some(4))
        );
        assert!(listing[0].modified.is_some());
        assert!(folder.list_claimed().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_claim_moves_once_and_never_overwrites() {
        let (directory, mut folder) = place();
        std::fs::write(directory.path().join("a.csv"), "one").unwrap();
        let claimed = folder.rename("a.csv", "processing/a.csv").await.unwrap();
        assert_eq!(claimed, Claimed::Yes);
        let again = folder
            .rename("a.csv", "processing/b.csv")
            .await
            .unwrap_err();
        assert_eq!(again.fault, Fault::NotFound);
        std::fs::write(directory.path().join("a.csv"), "two").unwrap();
        let taken = folder
            .rename("a.csv", "processing/a.csv")
            .await
            .unwrap_err();
        assert_eq!(taken.fault, Fault::Refused);
        let kept = std::fs::read_to_string(directory.path().join("processing/a.csv")).unwrap();
        assert_eq!(kept, "one");
        assert_eq!(folder.list_claimed().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn downloads_within_the_limit_and_leaves_nothing_otherwise() {
        let (directory, mut folder) = place();
        std::fs::write(directory.path().join("a.csv"), vec![b'x'; 100_000]).unwrap();
        let into = directory.path().join("landed");
        assert_eq!(
            folder.download("a.csv", &into, 100_000).await.unwrap(),
            100_000
        );
        assert_eq!(std::fs::read(&into).unwrap(), vec![b'x'; 100_000]);
        std::fs::remove_file(&into).unwrap();
        let error = folder.download("a.csv", &into, 99_999).await.unwrap_err();
        assert_eq!(error.fault, Fault::Refused);
        assert!(!into.exists());
        let error = folder.read_small("a.csv").await.unwrap_err();
        assert!(error.to_string().contains("65536"), "{error}");
    }

    #[tokio::test]
    async fn names_and_links_do_not_lead_out() {
        let (directory, mut folder) = place();
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link.csv")).unwrap();
        let into = directory.path().join("landed");
        for name in ["../x", "/etc/passwd", "link.csv"] {
            let error = folder.download(name, &into, 1 << 20).await.unwrap_err();
            assert_eq!(error.fault, Fault::Refused, "{name}: {error}");
        }
        let missing = Folder::open(&directory.path().join("nowhere")).unwrap_err();
        assert_eq!(missing.fault, Fault::NotFound);
    }
}
