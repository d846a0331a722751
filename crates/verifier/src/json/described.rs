//! One description of a JSON type, which generates its shape, its reader and its writer. Three hand-written ones would
//! differ some day, and then written data could no longer be read.

/// A struct and the JSON object that it is. The table of how members are taken stands at [`json`](crate::json).
///
/// ```
/// use octo_sts_verifier::json::{FromJson, ToJson};
/// use octo_sts_verifier::json_object;
///
/// json_object! {
///     /// A key and where it came from.
///     #[derive(Debug, PartialEq)]
///     pub struct Key {
///         /// Its name.
///         pub kid: String => take,
///         /// Its origin, if that is known.
///         pub from: Option<String> => take_optional,
///         /// Until when, if that is known.
///         pub until: Option<u64> => take_nullable as "exp",
///         /// Earlier names.
///         pub aliases: Vec<String> => take_or_default,
///     }
/// }
///
/// let key = Key { kid: "a".to_owned(), from: None, until: None, aliases: vec!["b".to_owned()] };
/// assert_eq!(key.to_json().to_string(), r#"{"aliases":["b"],"exp":null,"kid":"a"}"#);
/// assert_eq!(Key::from_json(key.to_json()), Ok(key));
/// ```
#[macro_export]
macro_rules! json_object {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[$member_meta:meta])*
                $member_vis:vis $member:ident : $type:ty => $how:ident $(as $as:literal)?
            ),* $(,)?
        }
    ) => {
        $crate::json_members! {
            $(#[$meta])*
            $vis struct $name {
                $( $(#[$member_meta])* $member_vis $member: $type => $how $(as $as)?, )*
            }
        }

        impl $crate::json::ToJson for $name {
            fn to_json(&self) -> $crate::json::Value {
                let mut object = $crate::json::Object::default();
                $( $crate::json_members!(
                    @put $how, object, $crate::json_members!(@name $member $($as)?), &self.$member
                ); )*
                object.into()
            }
        }
    };
}

/// A struct and the members of a JSON object that it is made of. What else the object has is passed over.
///
/// ```
/// use octo_sts_verifier::json::{FromJson, read_members};
/// use octo_sts_verifier::json_members;
///
/// json_members! {
///     /// A file of a list.
///     #[derive(Debug, PartialEq)]
///     pub struct File {
///         /// Its path.
///         pub path: String => take,
///         /// `file`, `dir` and so on.
///         pub r#type: Option<String> => take_optional as "type",
///     }
/// }
///
/// json_members! {
///     /// A page of it.
///     #[derive(Debug, PartialEq)]
///     pub struct Page {
///         /// In order.
///         pub files: Vec<File> => take_or_default,
///     }
/// }
///
/// let json = br#"{"files": [{"path": "a", "type": "file", "size": 1}], "total": 1}"#;
/// let page: Page = read_members(json, Page::SHAPE).unwrap();
/// assert_eq!(page.files, [File { path: "a".to_owned(), r#type: Some("file".to_owned()) }]);
/// ```
#[macro_export]
macro_rules! json_members {
    (@name $member:ident $as:literal) => { $as };
    (@name $member:ident) => { stringify!($member) };
    (@put take_optional, $object:ident, $name:expr, $value:expr) => { $object.put_unless_null($name, $value) };
    (@put $how:ident, $object:ident, $name:expr, $value:expr) => { $object.put($name, $value) };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[$member_meta:meta])*
                $member_vis:vis $member:ident : $type:ty => $how:ident $(as $as:literal)?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$member_meta])* $member_vis $member: $type, )*
        }

        impl $crate::json::FromJson for $name {
            const SHAPE: $crate::json::Shape = $crate::json::Shape(&[
                $( ($crate::json_members!(@name $member $($as)?), <$type as $crate::json::FromJson>::SHAPE), )*
            ]);

            fn from_json(json: $crate::json::Value) -> ::core::result::Result<Self, $crate::json::Unfit> {
                let mut object = <$crate::json::Object as $crate::json::FromJson>::from_json(json)?;
                ::core::result::Result::Ok(Self {
                    $( $member: object.$how($crate::json_members!(@name $member $($as)?))?, )*
                })
            }
        }
    };
}

/// An enum and its JSON: the word alone, or an object whose only member is the word, with what it holds.
///
/// ```
/// use octo_sts_verifier::json::{FromJson, ToJson};
/// use octo_sts_verifier::json_alternatives;
///
/// json_alternatives! {
///     /// What became of a file.
///     #[derive(Debug, PartialEq)]
///     pub enum State {
///         /// It is gone.
///         Removed = "removed",
///         /// It is another one.
///         Modified {
///             /// Where it was.
///             from: Option<String> => take_optional,
///         } = "modified",
///         /// It is this text.
///         Text(String) = "text",
///     }
/// }
///
/// let modified = State::Modified { from: Some("a".to_owned()) };
/// assert_eq!(modified.to_json().to_string(), r#"{"modified":{"from":"a"}}"#);
/// assert_eq!(State::from_json(modified.to_json()), Ok(modified));
/// assert_eq!(State::Removed.to_json(), "removed");
/// assert_eq!(State::Text("a".to_owned()).to_json().to_string(), r#"{"text":"a"}"#);
/// assert_eq!(State::WORDS, ["removed", "modified", "text"]);
/// ```
#[macro_export]
macro_rules! json_alternatives {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[$variant_meta:meta])*
                $variant:ident
                $(($held:ty))?
                $({ $( $(#[$member_meta:meta])* $member:ident : $type:ty => $how:ident ),* $(,)? })?
                = $word:literal
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $(
                $(#[$variant_meta])*
                $variant $(($held))? $({ $( $(#[$member_meta])* $member: $type, )* })?,
            )*
        }

        impl $name {
            /// The words, in the order of the alternatives.
            #[allow(dead_code, reason = "tests go through them")]
            $vis const WORDS: &'static [&'static str] = &[$( $word ),*];
        }

        impl $crate::json::FromJson for $name {
            fn from_json(json: $crate::json::Value) -> ::core::result::Result<Self, $crate::json::Unfit> {
                let (word, inside) = $crate::json::alternative(json)?;
                match word.as_str() {
                    $( $word => $crate::json_alternatives!(
                        @read inside, $name::$variant $(($held))? $({ $( $member => $how ),* })?
                    ), )*
                    _ => ::core::result::Result::Err($crate::json::Unfit),
                }
            }
        }

        impl $crate::json::ToJson for $name {
            fn to_json(&self) -> $crate::json::Value {
                match self {
                    $(
                        Self::$variant
                            $(($crate::json_alternatives!(@bound held $held)))?
                            $({ $( $member ),* })? => $crate::json_alternatives!(
                            @write $word $((held $held))? $({ $( $member => $how ),* })?
                        ),
                    )*
                }
            }
        }
    };
    (@read $inside:ident, $name:ident :: $variant:ident) => {
        if $inside.is_null() {
            ::core::result::Result::Ok($name::$variant)
        } else {
            ::core::result::Result::Err($crate::json::Unfit)
        }
    };
    (@read $inside:ident, $name:ident :: $variant:ident ($held:ty)) => {
        <$held as $crate::json::FromJson>::from_json($inside).map($name::$variant)
    };
    (@read $inside:ident, $name:ident :: $variant:ident { $( $member:ident => $how:ident ),* }) => {{
        let mut object = <$crate::json::Object as $crate::json::FromJson>::from_json($inside)?;
        ::core::result::Result::Ok($name::$variant { $( $member: object.$how(stringify!($member))?, )* })
    }};
    (@bound $bound:ident $held:ty) => { $bound };
    (@write $word:literal) => {
        $crate::json::Value::from($word)
    };
    (@write $word:literal ($bound:ident $held:ty)) => {
        $crate::json::named($word, <$held as $crate::json::ToJson>::to_json($bound))
    };
    (@write $word:literal { $( $member:ident => $how:ident ),* }) => {{
        let mut inside = $crate::json::Object::default();
        $( $crate::json_members!(@put $how, inside, stringify!($member), $member); )*
        $crate::json::named($word, inside.into())
    }};
}

/// An enum of words. `| _` behind the last one: any other word is read as that.
///
/// ```
/// use octo_sts_verifier::json::{FromJson, ToJson, Unfit};
/// use octo_sts_verifier::json_words;
///
/// json_words! {
///     /// How it ended.
///     #[derive(Debug, PartialEq)]
///     pub enum Outcome {
///         /// Well.
///         Good = "good",
///         /// Otherwise.
///         Bad = "bad",
///     }
/// }
///
/// assert_eq!(Outcome::from_json(Outcome::Good.to_json()), Ok(Outcome::Good));
/// assert_eq!(Outcome::from_json("other".into()), Err(Unfit));
///
/// json_words! {
///     /// What became of a file.
///     #[derive(Debug, PartialEq)]
///     pub enum Status {
///         /// It is gone.
///         Removed = "removed",
///         /// It is there.
///         Present = "present" | _,
///     }
/// }
///
/// assert_eq!(Status::from_json("invented since".into()), Ok(Status::Present));
/// assert_eq!(Status::from_json(1.into()), Err(Unfit));
/// ```
#[macro_export]
macro_rules! json_words {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $any:tt)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $( $(#[$variant_meta])* $variant, )*
        }

        impl $crate::json::FromJson for $name {
            #[allow(unreachable_patterns, clippy::wildcard_in_or_patterns, reason = "a word may stand for any other")]
            fn from_json(json: $crate::json::Value) -> ::core::result::Result<Self, $crate::json::Unfit> {
                match json.as_str().ok_or($crate::json::Unfit)? {
                    $( $word $(| $any)? => ::core::result::Result::Ok(Self::$variant), )*
                    _ => ::core::result::Result::Err($crate::json::Unfit),
                }
            }
        }

        impl $crate::json::ToJson for $name {
            fn to_json(&self) -> $crate::json::Value {
                $crate::json::Value::from(match self {
                    $( Self::$variant => $word, )*
                })
            }
        }
    };
}
