//! Types that stand in the graph as simpler ones.

/// Lets a type stand in the graph as another: it is shown by the first function and read by the second, or by `TryFrom`.
#[macro_export]
macro_rules! stands_as {
    ($type:ty as $shown:ty, $show:expr) => {
        $crate::stands_as!($type as $shown, $show, <$type>::try_from);
    };
    ($type:ty as $shown:ty, $show:expr, $read:expr) => {
        impl $crate::async_graphql::InputType for $type {
            type RawValueType = Self;

            fn type_name() -> ::std::borrow::Cow<'static, str> {
                <$shown as $crate::async_graphql::InputType>::type_name()
            }
            fn qualified_type_name() -> String {
                <$shown as $crate::async_graphql::InputType>::qualified_type_name()
            }
            fn create_type_info(
                registry: &mut $crate::async_graphql::registry::Registry,
            ) -> String {
                <$shown as $crate::async_graphql::InputType>::create_type_info(registry)
            }
            fn parse(
                value: Option<$crate::async_graphql::Value>,
            ) -> $crate::async_graphql::InputValueResult<Self> {
                use $crate::async_graphql::{InputType, InputValueError};
                let shown =
                    <$shown as InputType>::parse(value).map_err(InputValueError::propagate)?;
                ($read)(shown).map_err(InputValueError::custom)
            }
            fn to_value(&self) -> $crate::async_graphql::Value {
                $crate::async_graphql::InputType::to_value(&($show)(self))
            }
            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }
        }
        impl $crate::async_graphql::OutputType for $type {
            fn type_name() -> ::std::borrow::Cow<'static, str> {
                <$shown as $crate::async_graphql::OutputType>::type_name()
            }
            fn qualified_type_name() -> String {
                <$shown as $crate::async_graphql::OutputType>::qualified_type_name()
            }
            fn create_type_info(
                registry: &mut $crate::async_graphql::registry::Registry,
            ) -> String {
                <$shown as $crate::async_graphql::OutputType>::create_type_info(registry)
            }
            async fn resolve(
                &self,
                ctx: &$crate::async_graphql::ContextSelectionSet<'_>,
                field: &$crate::async_graphql::Positioned<
                    $crate::async_graphql::parser::types::Field,
                >,
            ) -> $crate::async_graphql::ServerResult<$crate::async_graphql::Value> {
                $crate::async_graphql::OutputType::resolve(&($show)(self), ctx, field).await
            }
        }
    };
}
