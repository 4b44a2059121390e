//! What rules and routes need to know of the world: locations, their groups, and products.

use std::collections::{HashMap, HashSet};

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::alert::named;
use super::id::{GroupName, LocationId};
use super::product::ProductId;
use super::spelling::same_name;

named!(
    /// What kind of place it is.
    LocationKind {
        /// Stores SKUs.
        Warehouse => "warehouse",
        /// Sells vehicles.
        Rooftop => "rooftop",
    }
);

/// A place where stock lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Its short name in the configuration.
    pub id: LocationId,
    /// Its name for people.
    pub name: String,
    /// Its time zone, by IANA name: seasons begin and days end by its calendar.
    #[serde(with = "jiff::fmt::serde::tz::required")]
    pub zone: TimeZone,
    /// Warehouse or rooftop.
    pub kind: LocationKind,
    /// The groups it belongs to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
}

/// What is known of a product beyond its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The SKU or model line.
    pub id: ProductId,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its category, as its source writes it; compared without regard to case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
}

impl Product {
    /// The name to show people: the title, or else the id.
    pub fn name(&self) -> &str {
        self.title.as_deref().unwrap_or(self.id.as_str())
    }
}

/// How categories are compared: trimmed and without regard to case.
pub(crate) fn folded_category(category: &str) -> String {
    category.trim().to_lowercase()
}

/// Two locations share an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("location `{id}` is declared twice: as \"{first}\" and as \"{second}\"")]
pub struct DuplicateLocation {
    /// The id in question.
    pub id: LocationId,
    /// The name of the first.
    pub first: String,
    /// The name of the second.
    pub second: String,
}

/// All locations and their groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Location>", into = "Vec<Location>")]
pub struct Directory {
    locations: Vec<Location>,
    by_id: HashMap<LocationId, usize>,
    members: HashMap<GroupName, Vec<LocationId>>,
}

impl Directory {
    /// Indexes the locations; an id may stand only once.
    pub fn new(mut locations: Vec<Location>) -> Result<Self, DuplicateLocation> {
        for Location { groups, .. } in &mut locations {
            let mut named = HashSet::new();
            groups.retain(|group| named.insert(group.clone()));
        }
        let mut by_id = HashMap::with_capacity(locations.len());
        let mut members: HashMap<GroupName, Vec<LocationId>> = HashMap::new();
        for (index, location) in locations.iter().enumerate() {
            if let Some(earlier) = by_id.insert(location.id.clone(), index) {
                return Err(DuplicateLocation {
                    id: location.id.clone(),
                    first: locations[earlier].name.clone(),
                    second: location.name.clone(),
                });
            }
            for group in &location.groups {
                members
                    .entry(group.clone())
                    .or_default()
                    .push(location.id.clone());
            }
        }
        Ok(Self {
            locations,
            by_id,
            members,
        })
    }

    /// The location of this id.
    pub fn location(&self, id: &LocationId) -> Option<&Location> {
        self.by_id.get(id).map(|index| &self.locations[*index])
    }

    /// The location that people call so: by its id, or else by its id or name in another spelling, where
    /// that leaves one only.
    pub fn called(&self, name: &str) -> Option<&Location> {
        match self.all_called(name)[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The locations that people may mean by a name.
    pub fn all_called(&self, name: &str) -> Vec<&Location> {
        let exact = self.locations.iter().find(|it| it.id.as_str() == name);
        let alike = |it: &&Location| same_name(it.id.as_str(), name) || same_name(&it.name, name);
        match exact {
            Some(exact) => vec![exact],
            None => self.locations.iter().filter(alike).collect(),
        }
    }

    /// Which locations there are, for people: not all of very many.
    pub fn in_words(&self) -> String {
        const NAMED: usize = 12;
        let named = self.locations.iter().take(NAMED);
        let named: Vec<_> = named
            .map(|it| format!("`{}` ({})", it.id, it.name))
            .collect();
        let more = match self.locations.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("the locations are {}{more}", named.join(", "))
    }

    /// Every location, in the order of declaration.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Whether some location belongs to this group.
    pub fn has_group(&self, group: &GroupName) -> bool {
        self.members.contains_key(group)
    }

    /// The locations of a group, in the order of declaration; none for a group nobody belongs to.
    pub fn members(&self, group: &GroupName) -> &[LocationId] {
        self.members.get(group).map_or(&[], Vec::as_slice)
    }

    /// The groups of a location; none for a location that is not declared.
    pub fn groups_of(&self, id: &LocationId) -> &[GroupName] {
        self.location(id).map_or(&[], |location| &location.groups)
    }
}

impl TryFrom<Vec<Location>> for Directory {
    type Error = DuplicateLocation;
    fn try_from(locations: Vec<Location>) -> Result<Self, DuplicateLocation> {
        Self::new(locations)
    }
}

impl From<Directory> for Vec<Location> {
    fn from(directory: Directory) -> Self {
        directory.locations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(id: &str, groups: &[&str]) -> Location {
        Location {
            id: id.parse().unwrap(),
            name: id.to_uppercase(),
            zone: TimeZone::get("Europe/Rome").unwrap(),
            kind: LocationKind::Warehouse,
            groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn groups_are_seen_from_both_sides() {
        let directory = Directory::new(vec![
            location("milano", &["italy", "north", "italy"]),
            location("roma", &["italy"]),
        ])
        .unwrap();
        let names = |ids: &[LocationId]| ids.iter().map(LocationId::to_string).collect::<Vec<_>>();
        assert_eq!(
            names(directory.members(&"italy".parse().unwrap())),
            ["milano", "roma"]
        );
        assert_eq!(names(directory.members(&"south".parse().unwrap())), [""; 0]);
        assert_eq!(
            directory.groups_of(&"roma".parse().unwrap()),
            ["italy".parse().unwrap()]
        );
        let of_milano = directory.groups_of(&"milano".parse().unwrap());
        assert_eq!(
            of_milano,
            ["italy".parse().unwrap(), "north".parse().unwrap()]
        );
        assert!(directory.location(&"torino".parse().unwrap()).is_none());
    }

    #[test]
    fn an_id_declared_twice_is_refused_by_serde_too() {
        let twice = vec![location("milano", &[]), location("milano", &[])];
        let json = serde_json::to_string(&twice).unwrap();
        let refusal = serde_json::from_str::<Directory>(&json).unwrap_err();
        assert!(
            refusal.to_string().contains("`milano` is declared twice"),
            "{refusal}"
        );
    }

    #[test]
    fn a_directory_survives_serde_with_its_zones() {
        let directory = Directory::new(vec![location("milano", &["italy"])]).unwrap();
        let json = serde_json::to_string(&directory).unwrap();
        assert!(json.contains("\"zone\":\"Europe/Rome\""), "{json}");
        assert_eq!(serde_json::from_str::<Directory>(&json).unwrap(), directory);
    }
}
