//! One description of a JSON type, which generates its shape, its reader and its writer. Three hand-written ones would
//! differ some day, and then written data could no longer be read.

/// A struct and its JSON object. After each member is how [`Object`](crate::json::Object) takes it:
/// `take`, `take_optional` (an `Option`) or `take_or_default`. Members that are `None` are not written.
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
///         /// Earlier names.
///         pub aliases: Vec<String> => take_or_default,
///     }
/// }
///
/// let key = Key { kid: "a".to_owned(), from: None, aliases: vec!["b".to_owned()] };
/// assert_eq!(key.to_json().to_string(), r#"{"aliases":["b"],"kid":"a"}"#);
/// assert_eq!(Key::from_json(key.to_json()), Ok(key));
/// assert_eq!(Key::MEMBERS, ["kid", "from", "aliases"]);
/// ```
#[macro_export]
macro_rules! json_object {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$member_meta:meta])* $member_vis:vis $member:ident : $type:ty => $how:ident ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$member_meta])* $member_vis $member: $type, )*
        }

        impl $name {
            /// The names of its members in JSON.
            #[allow(dead_code, reason = "not every type is read by its shape")]
            $vis const MEMBERS: &'static [&'static str] = &[$( stringify!($member) ),*];
        }

        impl $crate::json::FromJson for $name {
            fn from_json(json: $crate::json::Value) -> ::core::result::Result<Self, $crate::json::Unfit> {
                let mut object = <$crate::json::Object as $crate::json::FromJson>::from_json(json)?;
                ::core::result::Result::Ok(Self { $( $member: object.$how(stringify!($member))?, )* })
            }
        }

        impl $crate::json::ToJson for $name {
            fn to_json(&self) -> $crate::json::Value {
                let mut object = $crate::json::Object::default();
                $( object.put(stringify!($member), &self.$member); )*
                object.into()
            }
        }
    };
}

/// An enum and its JSON: only the word, or an object whose only member is the word, with an object of its content.
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
///     }
/// }
///
/// let modified = State::Modified { from: Some("a".to_owned()) };
/// assert_eq!(modified.to_json().to_string(), r#"{"modified":{"from":"a"}}"#);
/// assert_eq!(State::from_json(modified.to_json()), Ok(modified));
/// assert_eq!(State::Removed.to_json(), "removed");
/// assert_eq!(State::WORDS, ["removed", "modified"]);
/// ```
#[macro_export]
macro_rules! json_alternatives {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[$variant_meta:meta])*
                $variant:ident
                $({ $( $(#[$member_meta:meta])* $member:ident : $type:ty => $how:ident ),* $(,)? })?
                = $word:literal
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $( $(#[$variant_meta])* $variant $({ $( $(#[$member_meta])* $member: $type, )* })?, )*
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
                        @read inside, $name::$variant $({ $( $member => $how ),* })?
                    ), )*
                    _ => ::core::result::Result::Err($crate::json::Unfit),
                }
            }
        }

        impl $crate::json::ToJson for $name {
            fn to_json(&self) -> $crate::json::Value {
                match self {
                    $( Self::$variant $({ $( $member ),* })? => $crate::json_alternatives!(
                        @write $word $({ $( $member ),* })?
                    ), )*
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
    (@read $inside:ident, $name:ident :: $variant:ident { $( $member:ident => $how:ident ),* }) => {{
        let mut object = <$crate::json::Object as $crate::json::FromJson>::from_json($inside)?;
        ::core::result::Result::Ok($name::$variant { $( $member: object.$how(stringify!($member))?, )* })
    }};
    (@write $word:literal) => {
        $crate::json::Value::from($word)
    };
    (@write $word:literal { $( $member:ident ),* }) => {{
        let mut inside = $crate::json::Object::default();
        $( inside.put(stringify!($member), $member); )*
        let mut object = $crate::json::Object::default();
        object.put($word, &$crate::json::Value::from(inside));
        object.into()
    }};
}
