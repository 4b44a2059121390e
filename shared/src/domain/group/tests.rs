use proptest::prelude::*;

use super::*;

fn start() -> Timestamp {
    "2026-01-15T09:30:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

fn pace(wait: i64, interval: i64, repeat: Option<i64>) -> Pace {
    Pace {
        wait: SignedDuration::from_secs(wait),
        interval: SignedDuration::from_secs(interval),
        repeat: repeat.map(SignedDuration::from_secs),
        most: 10,
    }
}

const NEWS: Left = Left {
    waiting: true,
    open: true,
    kept_silent: false,
};
const OPEN: Left = Left {
    waiting: false,
    open: true,
    kept_silent: false,
};
const NOTHING: Left = Left {
    waiting: false,
    open: false,
    kept_silent: false,
};

#[test]
fn the_first_alert_waits_for_company_and_the_next_message_for_the_interval() {
    let pace = pace(30, 300, None);
    let first = Schedule::default().joined(after(0), &pace).unwrap();
    assert_eq!(first.phase.at(), Some(after(30)));
    assert_eq!(
        first.joined(after(29), &pace),
        None,
        "it is waiting already"
    );
    let told = first.begun(after(30)).over(NOTHING, after(31), &pace);
    assert_eq!((told.flushes, told.phase), (1, Phase::Quiet));
    let second = told.joined(after(60), &pace).unwrap();
    assert_eq!(second.phase.at(), Some(after(330)));
    let much_later = told.joined(after(900), &pace).unwrap();
    assert_eq!(much_later.phase.at(), Some(after(930)));
}

#[test]
fn who_came_during_the_message_is_told_with_the_next() {
    let pace = pace(30, 300, Some(3_600));
    let sending = Schedule::default().begun(after(30));
    assert_eq!(sending.joined(after(40), &pace), None);
    let prompt = sending.over(NEWS, after(31), &pace);
    assert_eq!(prompt.phase, Phase::Waiting(Moment(after(330))));
    let slow = sending.over(NEWS, after(1_000), &pace);
    assert_eq!(slow.phase, Phase::Waiting(Moment(after(1_000))));
}

#[test]
fn a_reminder_keeps_the_beat_and_gives_way_to_news() {
    let pace = pace(10, 20, Some(30));
    let told = Schedule::default().begun(after(20));
    let quiet = told.over(OPEN, after(21), &pace);
    assert_eq!(quiet.phase, Phase::Reminding(Moment(after(60))));
    let news = quiet.joined(after(25), &pace).unwrap();
    assert_eq!(news.phase, Phase::Waiting(Moment(after(40))));
    let with_it = quiet.joined(after(55), &pace).unwrap();
    assert_eq!(with_it.phase, Phase::Waiting(Moment(after(60))));
    assert_eq!(told.over(NOTHING, after(21), &pace).phase, Phase::Quiet);
}

#[test]
fn a_group_is_named_by_route_channel_and_labels() {
    let grouping = Grouping {
        by: vec![GroupLabel::Location, GroupLabel::Category, GroupLabel::Kind],
        pace: pace(30, 300, None),
    };
    let oil = Subject::Position {
        product: "OIL".parse().unwrap(),
        location: "milano".parse().unwrap(),
    };
    let of = |route: &str, kind, category| grouping.group_of(route, kind, &oil, category);
    let low = of("all", AlertKind::LowStock, Some("oil"));
    assert_eq!(
        low.labels,
        [
            (GroupLabel::Location, "milano".to_owned()),
            (GroupLabel::Category, "oil".to_owned()),
            (GroupLabel::Kind, "low_stock".to_owned()),
        ]
    );
    let ops: ChannelName = "ops".parse().unwrap();
    let names = [
        low.id(&ops),
        low.id(&"sms".parse().unwrap()),
        of("some", AlertKind::LowStock, Some("oil")).id(&ops),
        of("all", AlertKind::OutOfStock, Some("oil")).id(&ops),
        of("all", AlertKind::LowStock, None).id(&ops),
    ];
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert_eq!(
        low.id(&ops),
        of("all", AlertKind::LowStock, Some("oil")).id(&ops)
    );
}

#[test]
fn a_message_of_a_group_is_told_from_an_alert() {
    let group = Belongs {
        route: "all".into(),
        labels: Vec::new(),
        pace: pace(1, 1, None),
    };
    let group = group.id(&"ops".parse().unwrap());
    let first = FlushId { group, number: 1 };
    assert_eq!(first.to_string().parse(), Ok(first.clone()));
    assert_eq!(first.next().to_string().parse(), Ok(first.next()));
    let (name, _) = first
        .to_string()
        .rsplit_once('-')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for other in [
        "0199b6a1-7c3e-7d52-9d0c-5b1f0c2a4e11",
        "g-1",
        "",
        &name,
        &format!("{name}-01"),
        &format!("{name}-1-1"),
        &format!("{name}--1"),
        &format!("{}-1", name.to_uppercase()),
    ] {
        assert_eq!(other.parse::<FlushId>(), Err(NoFlush), "{other}");
    }
}

/// What may happen to a group.
#[derive(Debug, Clone, Copy)]
enum Event {
    Alert,
    Resolved,
    /// So many seconds pass; what falls due meanwhile is done.
    Pass(i64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        Just(Event::Alert),
        Just(Event::Resolved),
        (0i64..400).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..80)
}

/// A group with what waits in it, driven by its schedule alone.
struct Driven {
    pace: Pace,
    schedule: Schedule,
    now: Timestamp,
    /// When each alert that waits came.
    waiting: Vec<Timestamp>,
    open: usize,
    /// When each message went, and whether it had news.
    told: Vec<(Timestamp, bool)>,
}

impl Driven {
    fn join(&mut self) {
        self.waiting.push(self.now);
        if let Some(next) = self.schedule.joined(self.now, &self.pace) {
            self.schedule = next;
        }
    }

    fn pass(&mut self, until: Timestamp) {
        while let Some(at) = self.schedule.phase.at().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let news = !self.waiting.is_empty();
            if news || self.open > 0 {
                self.schedule = self.schedule.begun(self.now);
                self.waiting.clear();
                self.told.push((self.now, news));
            }
            let open = self.open > 0;
            let left = Left {
                waiting: false,
                open,
                kept_silent: false,
            };
            self.schedule = self.schedule.over(left, self.now, &self.pace);
        }
        self.now = until;
    }
}

proptest! {
    /// Whatever happens: nobody waits longer than the wait and the interval together, messages keep
    /// the interval, and a message without news keeps the repeat interval as well.
    #[test]
    fn everybody_is_told_in_time_and_never_too_often(
        events in events(), wait in 0i64..120, interval in 1i64..300,
        repeat in prop::option::of(1i64..2_000),
    ) {
        let pace = pace(wait, interval, repeat);
        let mut group = Driven {
            pace,
            schedule: Schedule::default(),
            now: start(),
            waiting: Vec::new(),
            open: 0,
            told: Vec::new(),
        };
        for event in events {
            match event {
                Event::Alert => {
                    group.open += 1;
                    group.join();
                }
                Event::Resolved if group.open > 0 => {
                    group.open -= 1;
                    group.join();
                }
                Event::Resolved => {}
                Event::Pass(seconds) => group.pass(group.now + SignedDuration::from_secs(seconds)),
            }
            prop_assert_eq!(group.schedule.phase == Phase::Quiet && !group.waiting.is_empty(), false);
            let longest = pace.wait + pace.interval;
            for came in &group.waiting {
                let at = group.schedule.phase.at();
                prop_assert!(at.is_some_and(|at| at.duration_since(*came) <= longest));
            }
            prop_assert_eq!(usize::try_from(group.schedule.flushes).unwrap(), group.told.len());
        }
        for two in group.told.windows(2) {
            let gap = two[1].0.duration_since(two[0].0);
            prop_assert!(gap >= pace.interval);
            if !two[1].1 {
                prop_assert!(pace.repeat.is_some_and(|repeat| gap >= repeat));
            }
        }
    }
}
