//! The feed server's files.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::Draw;
use crate::places::{self, FED, FED_PLACE};
use crate::plan::{Act, File, FileKind, Step};

impl Draw {
    /// The feed server's files, and the stock behind the last of them.
    pub(super) fn files(&mut self) -> (Vec<Step>, BTreeMap<String, i64>) {
        let mut stock: BTreeMap<String, i64> = (0..FED)
            .map(|number| (places::fed(number), self.dice.between(1, 12)))
            .collect();
        let mut steps = Vec::new();
        let mut at = Duration::from_secs(90);
        for number in 1.. {
            if at >= self.window {
                break;
            }
            let mut file = File::whole(number, &stock);
            if number > 1 {
                self.damage(&mut file);
            }
            if file.kind == FileKind::Whole && self.dice.happens(0.5) {
                self.spoil(&mut file);
            }
            file.hurried = self.dice.happens(0.7);
            steps.push(Step {
                at,
                act: Act::File(file),
            });
            at += Duration::from_secs(60) + self.upto(self.window / 2);
            self.trade(&mut stock);
        }
        (steps, stock)
    }

    /// In some worlds no file but the first says anything of a product, and what was sold of it before the
    /// second is told after it.
    pub(super) fn fall_silent(&mut self, sku: &str, steps: &mut Vec<Step>) {
        let mut later: Vec<(Duration, &mut File)> = steps
            .iter_mut()
            .filter_map(|step| match &mut step.act {
                Act::File(file) => Some((step.at, file)),
                _ => None,
            })
            .skip(1)
            .collect();
        let whole = later.iter().all(|(_, file)| file.kind == FileKind::Whole);
        if !whole || self.dice.happens(0.4) {
            return;
        }
        let Some((read_at, first)) = later.first_mut() else {
            return;
        };
        first.hurried = true;
        let at = *read_at + Duration::from_secs(30);
        let sold_at = self.instant(*read_at) - SignedDuration::from_secs(20);
        for (_, file) in later {
            file.blank(sku);
        }
        let act = self.sale(sku, FED_PLACE, sold_at);
        steps.push(Step { at, act });
    }

    /// The stock behind the feed changes: some products by their number, one by coming or going.
    fn trade(&self, stock: &mut BTreeMap<String, i64>) {
        for on_hand in stock.values_mut() {
            if self.dice.happens(0.3) {
                *on_hand = self.dice.between(1, 12);
            }
        }
        if self.dice.happens(0.3) {
            let sku = places::fed(usize::try_from(self.dice.below(FED as u64)).unwrap_or(0));
            if stock.remove(&sku).is_none() {
                stock.insert(sku, self.dice.between(1, 12));
            }
        }
        while stock.len() + 2 < FED {
            let sku = (0..FED)
                .map(places::fed)
                .find(|sku| !stock.contains_key(sku));
            stock.extend(sku.map(|sku| (sku, 1)));
        }
    }

    /// Single rows of a whole file say nothing that can be used, or what another row says already.
    fn spoil(&self, file: &mut File) {
        for _ in 0..self.dice.between(1, 2) {
            let sku = places::fed(usize::try_from(self.dice.below(FED as u64)).unwrap_or(0));
            let start = format!("\n{sku},");
            let Some(from) = file.content.find(&start).map(|found| found + 1) else {
                continue;
            };
            let length = file.content[from..].find('\n').unwrap_or_default();
            let row = file.content[from..from + length].to_owned();
            let place = FED_PLACE;
            let other = match self.dice.below(5) {
                0 => format!("{sku},{place},"),
                1 => format!("{sku},{place},a few"),
                2 => format!("{row}\n{row}"),
                3 => format!("{row}\n{row}0"),
                // Left out of this one file.
                _ => {
                    file.content.replace_range(from..=from + length, "");
                    continue;
                }
            };
            file.content.replace_range(from..from + length, &other);
        }
    }

    fn damage(&self, file: &mut File) {
        match self.dice.below(8) {
            0 | 1 => {
                file.kind = FileKind::Cut;
                // Inside a row: after the first rows, and never at the end of a line.
                let whole = file.content.len();
                let mut cut =
                    whole / 2 + usize::try_from(self.dice.below(whole as u64 / 2 - 2)).unwrap_or(0);
                while file.content.as_bytes()[cut - 1] == b'\n'
                    || file.content.as_bytes()[cut] == b'\n'
                {
                    cut -= 1;
                }
                file.content.truncate(cut);
            }
            2 => {
                file.kind = FileKind::Renamed;
                file.content = file.content.replacen("sku", "article_code", 1);
            }
            3 => {
                file.kind = FileKind::Bare;
                let header = file.content.find('\n').map_or(0, |end| end + 1);
                file.content.truncate(header);
            }
            _ => {}
        }
    }
}
