//! Who works on the database, and when.
//!
//! One at a time. In a directory, whoever asks puts the request into a queue; if nobody is at work, it
//! does what waits, its own and that of others, and makes all of it durable at once. Nobody blocks a
//! thread meanwhile. In memory each call is done where it is made, so that a virtual clock has one order.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError, TryLockError};

use dynoxide::DynoxideError;
use tokio::sync::oneshot;

use super::database::Database;
use super::requests::{Call, Response};

type Answer = Result<Response, DynoxideError>;

/// The database, and the requests that wait for it.
pub(super) struct Turns {
    database: Mutex<Database>,
    waiting: Mutex<Vec<(Call, oneshot::Sender<Answer>)>>,
    queues: bool,
}

impl Turns {
    pub(super) fn over(database: Database, queues: bool) -> Self {
        Self {
            database: Mutex::new(database),
            waiting: Mutex::default(),
            queues,
        }
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&self, call: Call) -> Answer {
        if !self.queues {
            return self.ask_now(call);
        }
        let (done, answer) = oneshot::channel();
        self.waiting().push((call, done));
        self.work_off();
        answer.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Asks as soon as the database is free; blocks the thread until then.
    pub(super) fn ask_now(&self, call: Call) -> Answer {
        self.take(|database| {
            let answer = database.answer_all([call]).pop();
            database.commit_if_due();
            answer.unwrap_or_else(|| Err(panicked()))
        })
    }

    /// Works on the database as soon as it is free; blocks the thread until then.
    pub(super) fn take<T>(&self, work: impl FnOnce(&mut Database) -> T) -> T {
        let done = work(&mut self.whole(self.database.lock()));
        self.work_off();
        done
    }

    /// Does what waits, unless somebody is at it: who is looks once more after.
    fn work_off(&self) {
        while !self.waiting().is_empty() {
            let mut database = match self.database.try_lock() {
                Ok(database) => database,
                Err(TryLockError::Poisoned(poisoned)) => self.whole(Err(poisoned)),
                Err(TryLockError::WouldBlock) => return,
            };
            let (calls, askers): (Vec<_>, Vec<_>) =
                std::mem::take(&mut *self.waiting()).into_iter().unzip();
            for (asker, answer) in askers.into_iter().zip(database.answer_all(calls)) {
                // Whoever asked may have given up.
                asker.send(answer).ok();
            }
            database.commit_if_due();
        }
    }

    /// The database without what somebody who panicked has left half done.
    fn whole<'a>(&self, locked: LockResult<MutexGuard<'a, Database>>) -> MutexGuard<'a, Database> {
        locked.unwrap_or_else(|poisoned| {
            let mut database = poisoned.into_inner();
            database.open_again(&"an operation panicked");
            self.database.clear_poison();
            database
        })
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(Call, oneshot::Sender<Answer>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panicked() -> DynoxideError {
    DynoxideError::InternalServerError("an operation on the tables panicked".to_owned())
}
