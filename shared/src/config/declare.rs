//! One declaration, and everything that follows from it: a type's reader, its stored form, its JSON
//! Schema and its row on the reference page.

/// Declares a table of settings: the struct, its reader, its stored form and its documentation.
///
/// A field with `= default` may be left out; where all fields have one, `pub struct Name: Default`
/// makes the empty table the type's default. The stored form is read leniently (unknown keys are
/// passed over, new ones get their default), because during a deployment old and new functions read
/// the same document; the text people write is read strictly.
macro_rules! settings {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident: Default {
            $( $(#[doc = $field_doc:literal])+ $field:ident : $ty:ty = $default:expr ),+ $(,)?
        }
    ) => {
        $crate::config::declare::settings! {
            $(#[doc = $doc])+
            pub struct $name { $( $(#[doc = $field_doc])+ $field: $ty = $default ),+ }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default ),+ }
            }
        }
    };
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $( $(#[doc = $field_doc:literal])+ $field:ident : $ty:ty $(= $default:expr)? ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, ::serde::Serialize)]
        pub struct $name {
            $( $(#[doc = $field_doc])+ pub $field: $ty ),+
        }

        impl $crate::config::setting::Section for $name {
            fn take(
                fields: &mut $crate::config::document::Fields<'_, '_>,
                problems: &mut $crate::config::error::Problems<'_>,
            ) -> Option<Self> {
                $( let $field: Option<$ty> = $crate::config::declare::settings!(@read fields, problems, $field $(, $default)?); )+
                Some(Self { $( $field: $field? ),+ })
            }

            fn described() -> Vec<$crate::config::setting::Described> {
                vec![$( $crate::config::setting::Described {
                    key: stringify!($field),
                    doc: [$($field_doc.trim()),+].join(" "),
                    expected: <$ty as $crate::config::setting::Setting>::expected(),
                    schema: <$ty as $crate::config::setting::Setting>::schema(),
                    default: $crate::config::declare::settings!(@default $ty $(, $default)?),
                } ),+]
            }
        }

        impl $crate::config::setting::Setting for $name {
            fn read(
                node: &$crate::config::document::Node<'_>,
                problems: &mut $crate::config::error::Problems<'_>,
            ) -> Option<Self> {
                let mut fields = $crate::config::document::Fields::of(node, problems)?;
                let read = <Self as $crate::config::setting::Section>::take(&mut fields, problems);
                fields.finish(problems);
                read
            }
            fn expected() -> String {
                "a table".to_owned()
            }
            fn schema() -> ::serde_json::Value {
                $crate::config::setting::table_schema(&<Self as $crate::config::setting::Section>::described())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                #[derive(::serde::Deserialize)]
                struct Stored { $( #[serde(default = "Option::default")] $field: Option<$ty> ),+ }
                let stored = Stored::deserialize(from)?;
                Ok(Self { $( $field: $crate::config::declare::settings!(@stored D, stored, $field $(, $default)?) ),+ })
            }
        }
    };
    (@read $fields:ident, $problems:ident, $field:ident) => {
        $fields.required(stringify!($field), $problems)
    };
    (@read $fields:ident, $problems:ident, $field:ident, $default:expr) => {
        $fields.or(stringify!($field), || $default, $problems)
    };
    (@default $ty:ty) => { None };
    (@default $ty:ty, $default:expr) => {{
        let default: $ty = $default;
        Some(::serde_json::to_value(&default).unwrap_or_default())
    }};
    (@stored $d:ident, $stored:ident, $field:ident) => {
        $stored.$field.ok_or_else(|| <$d::Error as ::serde::de::Error>::missing_field(stringify!($field)))?
    };
    (@stored $d:ident, $stored:ident, $field:ident, $default:expr) => {
        $stored.$field.unwrap_or_else(|| $default)
    };
}
pub(crate) use settings;

/// Declares an enum of tables, told apart by their `kind`.
macro_rules! kinds {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident { $( $(#[doc = $variant_doc:literal])+ $variant:ident($ty:ty) => $kind:literal ),+ $(,)? }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(tag = "kind")]
        pub enum $name { $( $(#[doc = $variant_doc])+ #[serde(rename = $kind)] $variant($ty) ),+ }

        impl $name {
            /// Every kind's name.
            pub const KINDS: &[&str] = &[$($kind),+];

            /// The kind's name.
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$variant(_) => $kind ),+ }
            }

            pub(crate) fn take(
                fields: &mut $crate::config::document::Fields<'_, '_>,
                problems: &mut $crate::config::error::Problems<'_>,
            ) -> Option<Self> {
                let kind = fields.kind(Self::KINDS, problems)?;
                match kind {
                    $( $kind => <$ty as $crate::config::setting::Section>::take(fields, problems).map(Self::$variant), )+
                    _ => None,
                }
            }

            /// Each kind, what it is, and its own fields.
            pub(crate) fn described() -> Vec<(&'static str, String, Vec<$crate::config::setting::Described>)> {
                vec![$( ($kind, [$($variant_doc.trim()),+].join(" "), <$ty as $crate::config::setting::Section>::described()) ),+]
            }
        }
    };
}
pub(crate) use kinds;

/// Makes enums that have `ALL` and `name()` readable by name.
macro_rules! choice {
    ($($choice:ty => $what:literal),+ $(,)?) => { $(
        impl $crate::config::setting::Setting for $choice {
            fn read(
                node: &$crate::config::document::Node<'_>,
                problems: &mut $crate::config::error::Problems<'_>,
            ) -> Option<Self> {
                let text = node.text(&Self::expected(), problems)?;
                let found = Self::ALL.iter().copied().find(|choice| choice.name() == text);
                if found.is_none() {
                    let names: Vec<_> = Self::ALL.iter().map(|choice| choice.name()).collect();
                    node.refuse(problems, $crate::config::setting::unknown_choice(node, $what, text, &names));
                }
                found
            }
            fn expected() -> String {
                let names: Vec<_> = Self::ALL.iter().map(|choice| choice.name()).collect();
                $crate::config::words::one_of(&names)
            }
            fn schema() -> ::serde_json::Value {
                let names: Vec<_> = Self::ALL.iter().map(|choice| choice.name()).collect();
                ::serde_json::json!({ "enum": names })
            }
        }
    )+ };
}
pub(crate) use choice;

/// Makes types that parse themselves from text readable.
macro_rules! parsed {
    ($($ty:ty => $expected:literal),+ $(,)?) => { $(
        impl $crate::config::setting::Setting for $ty {
            fn read(
                node: &$crate::config::document::Node<'_>,
                problems: &mut $crate::config::error::Problems<'_>,
            ) -> Option<Self> {
                let text = node.text($expected, problems)?;
                $crate::config::setting::parse(node, text, problems)
            }
            fn expected() -> String {
                $expected.to_owned()
            }
            fn schema() -> ::serde_json::Value {
                ::serde_json::json!({ "type": "string", "minLength": 1 })
            }
        }
    )+ };
}
pub(crate) use parsed;
