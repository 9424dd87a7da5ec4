from __future__ import annotations

import pytest

from tasks.drift.languages import language_of, main_script, script_of
from tasks.modalities.stop_words import stop_words

SENTENCES = {
    "bg": "Тази птица живее в гората и яде малки животни, които намира през нощта.",
    "ca": "Aquest ocell viu al bosc i menja els animals petits que troba durant la nit.",
    "cs": "Tento pták žije v lese a jí malá zvířata, která najde během noci.",
    "da": "Denne fugl bliver i skoven, hvor den kun spiser de små dyr, der også lever af nødder.",
    "de": "Dieser Vogel lebt in dem Wald und frisst die kleinen Tiere, die er in der Nacht findet.",
    "en": "This bird lives in the forest and eats the small animals that it finds during the night.",
    "es": "Este pájaro vive en el bosque y come los animales pequeños que encuentra durante la noche.",
    "fi": "Tämä lintu elää metsässä ja syö pieniä eläimiä, joita se löytää yöllä.",
    "fr": "Cet oiseau vit dans la forêt et mange les petits animaux qu'il trouve pendant la nuit.",
    "hu": "Ez a madár az erdőben él, és azokat a kis állatokat eszi, amelyeket éjjel talál.",
    "it": "Questo uccello vive nel bosco e mangia i piccoli animali che trova durante la notte.",
    "nl": "Deze vogel leeft in het bos en eet de kleine dieren die hij in de nacht vindt.",
    "pl": "Ten ptak żyje w lesie i je małe zwierzęta, które znajduje w nocy.",
    "pt": "O pássaro vive na floresta e não come os animais pequenos que ele encontra pela noite.",
    "ro": "Această pasăre trăiește în pădure și mănâncă animalele mici pe care le găsește noaptea.",
    "ru": "Эта птица живёт в лесу и ест маленьких животных, которых она находит ночью.",
    "sv": "Den här fågeln lever i skogen och äter de små djur som den hittar under natten.",
    "tr": "Bu kuş ormanda yaşar ve gece bulduğu küçük hayvanları yer.",
    "uk": "Цей птах живе в лісі та їсть маленьких тварин, яких він знаходить уночі.",
    "be": "Гэтая птушка жыве ў лесе і есць маленькіх жывёл, якіх яна знаходзіць уначы.",
    "el": "Αυτό το πουλί ζει στο δάσος.",
    "he": "הציפור הזאת חיה ביער",
    "ar": "يعيش هذا الطائر في الغابة ويأكل الحيوانات الصغيرة التي يجدها في الليل",
    "hi": "यह पक्षी जंगल में रहता है और रात में मिलने वाले छोटे जानवरों को खाता है",
    "ja": "この鳥は森に住んでいます。",
    "zh": "这只鸟住在森林里。",
    "ko": "이 새는 숲에 산다.",
    "th": "นกตัวนี้อาศัยอยู่ในป่า",
}


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_a_sentence_says_which_language_it_is(language: str) -> None:
    assert language_of(SENTENCES[language]) == language


@pytest.mark.parametrize("text", ["", "1234", "Kaktus", "!!!"])
def test_what_says_too_little_is_unknown(text: str) -> None:
    assert language_of(text) == "unknown"


def test_scripts_have_unicode_s_names() -> None:
    assert [script_of(character) for character in "aяα中あ한1 "] == ["latin", "cyrillic", "greek", "cjk", "hiragana", "hangul", "", ""]
    assert main_script("Зима 2026 in UK") == "cyrillic"
    assert main_script("42") == "none"


def test_every_language_with_stop_words_can_be_told() -> None:
    untold = {
        language for language, words in stop_words().items() if language_of(" ".join(sorted(words)[:60])) not in (language, "no", "da")
    }
    assert untold <= {"id"}, untold
