//! Everybody around the product: senders, people, vendors. Each keeps a record of its own of what it
//! said, what it was answered, and what it took.

pub mod people;
pub mod secrets;
pub mod senders;
pub mod vendors;

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::plan::{File, Lot, Sender};
use crate::said::Said;

/// What a sender or a person knows of one thing that it said.
#[derive(Debug, Clone)]
pub struct Told {
    /// The delivery's or the request's name.
    pub name: String,
    /// The sender; none for the API.
    pub sender: Option<Sender>,
    /// What it says.
    pub said: Vec<Said>,
    /// How often it was sent.
    pub tries: u32,
    /// When it was first acknowledged.
    pub acknowledged: Option<Timestamp>,
    /// The status and words with which it was refused for good.
    pub refused: Option<(u16, String)>,
    /// How the answer named it.
    pub received: Option<String>,
}

/// What everybody but the vendors has on record.
#[derive(Debug, Default)]
pub struct Records {
    told: Mutex<Vec<Told>>,
    files: Mutex<Vec<File>>,
    lots: Mutex<Vec<Lot>>,
}

impl Records {
    /// Notes something that is about to be said; gives the place of its record.
    pub fn tell(&self, told: Told) -> usize {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(told);
        all.len() - 1
    }

    /// Changes a record.
    pub fn change(&self, place: usize, change: impl FnOnce(&mut Told)) {
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = all.get_mut(place) {
            change(told);
        }
    }

    /// All that was said.
    pub fn told(&self) -> Vec<Told> {
        let all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone()
    }

    /// Notes a file.
    pub fn file(&self, file: File) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.push(file);
    }

    /// All files, in the order in which they were put down.
    pub fn files(&self) -> Vec<File> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.clone()
    }

    /// Notes a list of vehicles.
    pub fn lot(&self, lot: Lot) {
        let mut lots = self.lots.lock().unwrap_or_else(PoisonError::into_inner);
        lots.push(lot);
    }

    /// All lists of vehicles, in the order in which they were put down.
    pub fn lots(&self) -> Vec<Lot> {
        let lots = self.lots.lock().unwrap_or_else(PoisonError::into_inner);
        lots.clone()
    }
}
