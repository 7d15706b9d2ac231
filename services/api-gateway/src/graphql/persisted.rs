//! Documents that are known beforehand: what clients of ours ask, and in production all that is answered.

use std::{collections::HashMap, path::Path, sync::Arc};

use anyhow::Context;
use sha2::{Digest, Sha256};

/// Documents by their SHA-256, in hexadecimal digits.
#[derive(Default)]
pub struct Documents(HashMap<String, Arc<str>>);

impl Documents {
    /// Reads the `.graphql` files of a folder, and those below it; none where there is no such folder.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn of_folder(folder: &Path) -> anyhow::Result<Self> {
        let mut documents = HashMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            if !folder.is_dir() {
                continue;
            }
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "graphql") {
                    let text = std::fs::read_to_string(&path)
                        .with_context(|| path.display().to_string())?;
                    documents.insert(id_of(&text), text.into());
                }
            }
        }
        Ok(Self(documents))
    }

    /// The document of an id, `sha256:` before it or not.
    pub fn get(&self, id: &str) -> Option<&Arc<str>> {
        self.0.get(id.strip_prefix("sha256:").unwrap_or(id))
    }

    /// The ids of all of them.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All of them.
    pub fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.values()
    }
}

/// Whether a text has this id, `sha256:` before it or not.
pub fn is_id_of(id: &str, text: &str) -> bool {
    id.strip_prefix("sha256:").unwrap_or(id) == id_of(text)
}

fn id_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
